"""What a service is told each second, from who may ask the registry and the list of withdrawals."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fed_assets.errors import FedAssetsError
from fed_assets.serving.following import News


def ask_news(
    champion: Callable[[], int | None],
    barred: Callable[[], Mapping[int, str]],
    former: int | None,
) -> News:
    """Returns what may be served now: nothing, where nobody can tell what may not.

    Args:
        champion: Returns which version the registry names.
        barred: Returns why versions may not be served, whatever the registry names.
        former: The version that it named last, which goes on while it cannot be asked.
    """
    try:
        reasons = barred()
    except FedAssetsError as error:
        return News(closed=f"{error.what}: {error.seen}")
    except Exception as error:
        return News(closed=f"nobody can tell which ones are barred ({type(error).__name__})")
    told = tuple(sorted(reasons))
    try:
        named = champion()
    except FedAssetsError as error:
        return News(None, former, f"the registry cannot be asked: {error}", told)
    except Exception as error:
        return News(None, former, f"the registry cannot be asked ({type(error).__name__})", told)
    return News(named, former, barred=told, why="" if named is None else reasons.get(named, ""))
