"""A sandbox as code for Azure: its template, the template's check, and who may do what by it.

Nothing here speaks to Azure. Templates are checked statically, and were never deployed.
"""
