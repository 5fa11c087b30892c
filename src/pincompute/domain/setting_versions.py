"""Decides which versions of a secret or config are kept when one more is set, and which a rollback uses. It is pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from pincompute.api.settings import KEPT, MOST_VERSIONS, Setting, SettingVersion


def kept(setting: Setting, named: AbstractSet[int], former: AbstractSet[int]) -> tuple[SettingVersion, ...]:
    """Returns the versions that stay when one more comes: the one in use and the one before it, those that a template names
    (`named`) or a member holds, the newest ones, and those that former revisions name (`former`).

    There are at most `MOST_VERSIONS` with the new one. Beyond that, the oldest go of those that are new or former alone.
    """
    members = {copy.version for copy in setting.status.copies}
    needed = {setting.spec.version, before(setting), *named, *members}
    newest = {each.number for each in setting.spec.versions[-(KEPT - 1) :]}
    useful = [each.number for each in setting.spec.versions if each.number in (newest | former) - needed]
    room = MOST_VERSIONS - 1 - sum(1 for each in setting.spec.versions if each.number in needed)
    stay = needed | set(useful[-room:] if room > 0 else ())
    return tuple(each for each in setting.spec.versions if each.number in stay)


def before(setting: Setting) -> int:
    """Returns the version that was in use when the present one was set, 0 without one.

    So a rollback never uses a value that was rolled back from. A version that says nothing of it follows the number before it.
    """
    used = setting.spec.version
    recorded = next((each.previous for each in setting.spec.versions if each.number == used), 0)
    return recorded or max((each.number for each in setting.spec.versions if each.number < used), default=0)
