"""A party's container in Azure's blob storage, and the folder that it backs."""
