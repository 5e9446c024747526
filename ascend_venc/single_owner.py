# SPDX-License-Identifier: Apache-2.0
"""Objects of which there is one: of a channel, of a file that is being read or written."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn


class SingleOwner:
    """Refuses copies and pickles of an object: the first of two owners would end what it owns for the other."""

    __slots__ = ()

    _of_one_owner: ClassVar[str] = "file"

    def _named(self) -> str:
        name = type(self).__name__
        return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"

    def __copy__(self) -> NoReturn:
        raise TypeError(
            f"{self._named()} cannot be copied: two owners would close one {self._of_one_owner}; "
            f"make another {type(self).__name__}"
        )

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self._named()} cannot be pickled: it belongs to this process; make another {type(self).__name__}"
        )
