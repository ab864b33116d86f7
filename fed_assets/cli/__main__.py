"""`python -m fed_assets.cli`, where the script `fed-assets` is not at hand."""

from __future__ import annotations

from fed_assets.cli import main

if __name__ == "__main__":
    main()
