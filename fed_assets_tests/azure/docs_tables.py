"""The tables of `docs/azure.md`; `python -m fed_assets_tests.azure.docs_tables` prints them."""

from __future__ import annotations

from fed_assets.azure.cloud_controls import SETTINGS
from fed_assets.azure.permissions import COLUMNS, matrix, rights
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets_tests.azure.deployments import EVERYONE, deployment


def matrix_tables() -> dict[tuple[str, ...], str]:
    """Returns as Markdown who may do what, once for the sandboxes in which it is the same."""
    alike: dict[str, list[str]] = {}
    for name in SANDBOX_NAMES:
        rows = matrix(rights(deployment(name), EVERYONE))
        lines = [f"| {thing} | {' | '.join(row.values())} |" for thing, row in rows.items()]
        alike.setdefault("\n".join(lines), []).append(name)
    rule = "|---" * (len(COLUMNS) + 1) + "|"
    return {tuple(names): "\n".join([_heading(names), rule, rows]) for rows, names in alike.items()}


def _heading(names: list[str]) -> str:
    return f"| {', '.join(f'`{name}`' for name in names)} | {' | '.join(COLUMNS)} |"


def control_table() -> str:
    """Returns as Markdown what each value of each control becomes."""
    lines = ["| control | value | in Azure |", "|---|---|---|"]
    for control, values in SETTINGS.items():
        for value, said in values.items():
            shown = "any" if value == "*" else value
            lines.append(f"| `{control}` | {shown} | {said} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print("\n\n".join([control_table(), *matrix_tables().values()]))
