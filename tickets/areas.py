"""The areas: what a request may be about, a tree of two storeys that a site extends.

The built-in ones (`tickets.models.AREAS`) are always there: menus on the phone and messages use them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets.database import announce
from tickets.errors import DuplicateEntry, InvalidInput, NotFound
from tickets.fields import read_line, read_name
from tickets.models import AREAS, Area

AREA_FIELDS = frozenset({"name_it", "name_en", "parent", "active", "back_to_level_0"})
"""What `edit_area` changes."""

_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(slots=True)
class AreaBranch:
    """An area in one language, with those below it."""

    key: str
    name: str
    active: bool
    back_to_level_0: bool
    below: list["AreaBranch"] = field(default_factory=list)


def area_tree(session: Session, language: str, *, retired: bool = False) -> list[AreaBranch]:
    """The areas that new requests may have, named in Italian or else in English; with `retired` also the others.

    The built-in ones come first and in their own order, the site's by name.
    """
    query = select(Area) if retired else select(Area).where(Area.active)
    rows = session.scalars(query).all()
    english = not language.startswith("it")
    branches = {
        row.key: AreaBranch(row.key, row.name_en if english else row.name_it, row.active, row.back_to_level_0)
        for row in rows
    }
    order = {key: place for place, key in enumerate(AREAS)}
    ordered = sorted(rows, key=lambda row: (order.get(row.key, len(order)), branches[row.key].name.casefold(), row.key))
    top: list[AreaBranch] = []
    for row in ordered:
        parent = branches.get(row.parent) if row.parent is not None else None
        (top if parent is None else parent.below).append(branches[row.key])
    return top


def add_area(
    session: Session,
    key: str,
    name_it: str,
    name_en: str,
    *,
    parent: str | None = None,
    back_to_level_0: bool = False,
) -> Area:
    """Add an area, below another or on its own.

    `key` is what programs know it by: a small letter, then small letters, digits and `_`, at most 40 in all; it never
    changes. Raises `InvalidInput`, `DuplicateEntry`, `NotFound` for the parent.
    """
    if _KEY.fullmatch(key) is None:
        raise InvalidInput("key", "is a small letter, then small letters, digits and _, at most 40 in all")
    known = _all_locked(session)
    if key in known:
        raise DuplicateEntry(f"there is an area {key!r} already")
    area = Area(
        key=key,
        name_it=read_name(name_it, "name_it", 120),
        name_en=read_name(name_en, "name_en", 120),
        parent=_parent(known, key, parent),
        back_to_level_0=bool(back_to_level_0),
        active=True,
    )
    session.add(area)
    session.flush()
    announce(session, "area", key)
    return area


def edit_area(session: Session, key: str, changes: Mapping[str, Any]) -> Area:
    """Change any of `AREA_FIELDS`; a `parent` of None or an empty text takes it to the top.

    `active` false retires it: requests keep it, new ones cannot have it. Raises `InvalidInput` where the tree would get
    a third storey, for a built-in one that would be retired, or one that has others below it; `NotFound`.
    """
    if unknown := changes.keys() - AREA_FIELDS:
        raise InvalidInput(min(unknown), f"cannot be edited; what can is {', '.join(sorted(AREA_FIELDS))}")
    known = _all_locked(session)
    area = known.get(key)
    if area is None:
        raise NotFound(f"there is no area {key!r}")
    active = bool(changes.get("active", area.active))
    if not active:
        if key in AREAS:
            raise InvalidInput("active", f"{key} is built in: menus on the phone and messages need it")
        if below := sorted(one.key for one in known.values() if one.parent == key and one.active):
            raise InvalidInput("active", f"others are below it: retire or move {', '.join(below)} first")
    parent = changes.get("parent", area.parent)
    if parent and ("parent" in changes or (active and not area.active)):
        parent = _parent(known, key, parent)
    names = {name: read_name(changes[name], name, 120) for name in ("name_it", "name_en") if name in changes}
    area.parent, area.active = parent or None, active
    for name, value in names.items():
        setattr(area, name, value)
    if "back_to_level_0" in changes:
        area.back_to_level_0 = bool(changes["back_to_level_0"])
    session.flush()
    announce(session, "area", key)
    return area


def _all_locked(session: Session) -> dict[str, Area]:
    """All areas, locked, so that two people at once do not build a third storey."""
    return {area.key: area for area in session.scalars(select(Area).order_by(Area.key).with_for_update())}


def _parent(known: Mapping[str, Area], key: str, parent: str | None) -> str | None:
    if not parent:
        return None
    above = known.get(read_line("parent", parent, 40))
    if above is None:
        raise NotFound(f"there is no area {parent!r}")
    if above.key == key:
        raise InvalidInput("parent", "is the area itself")
    if not above.active:
        raise InvalidInput("parent", f"{above.key} is not used any more")
    if above.parent is not None:
        raise InvalidInput("parent", f"{above.key} is itself below {above.parent}: there are two storeys only")
    if any(one.parent == key for one in known.values()):
        raise InvalidInput("parent", "others are below this area: there are two storeys only")
    return above.key
