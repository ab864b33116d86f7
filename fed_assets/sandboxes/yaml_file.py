"""One YAML file that a person wrote, read strictly: what a typo could hide is refused."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from fed_assets.errors import ConfigurationError


class _StrictLoader(yaml.SafeLoader):
    """YAML takes the last of two equal keys without a word; here the second one is refused.

    So is, by its line, a value that looks like a date or a number and can be none.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            found = super().construct_object(node, deep=deep)
            if isinstance(found, int):
                float(found)  # whoever compares or weighs it makes one of it
        except (ValueError, OverflowError) as error:
            raise yaml.MarkedYAMLError(
                problem=f"a value that cannot be: {error}", problem_mark=node.start_mark
            ) from None
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key} stands there twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


# YAML 1.1 takes 1e-5 for text, as it has no dot, and 1.0e5, as it has no sign; people mean numbers.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_entries(
    path: Path, *, what: str, variable: str, error_class: type[ConfigurationError]
) -> dict[str, Any]:
    """Returns the entries of a YAML file.

    Args:
        path: the file.
        what: how messages name the file, such as "The roster".
        variable: the environment variable that names the file.
        error_class: what is raised.

    Raises:
        ConfigurationError: of that class; the file is missing, is no YAML, names an entry twice,
            holds a value that cannot be, is nested too deep to be read, or holds no entries.
    """
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise error_class(
            f"{what} cannot be read: {error.strerror}",
            where=str(path),
            cure=f"Set {variable} to a readable file.",
        ) from None
    except UnicodeDecodeError:
        raise error_class(
            f"{what} is no text file", where=str(path), cure=f"Set {variable} to a YAML file."
        ) from None
    except RecursionError:
        raise error_class(
            f"{what} is nested too deeply to be read",
            where=str(path),
            cure="Write it with fewer brackets and steps within each other.",
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise error_class(
            f"{what} is not well-formed YAML",
            where=f"{path}, line {mark.line + 1}" if mark else str(path),
            seen=str(getattr(error, "problem", None) or ""),
            cure="Correct that line." if mark else "Write plain text.",
        ) from None
    if not isinstance(entries, dict):
        raise error_class(
            f"{what} is no list of entries",
            where=str(path),
            seen="an empty file" if entries is None else type(entries).__name__,
            cure="Write one `name: value` per line.",
        )
    return {str(key): value for key, value in entries.items()}
