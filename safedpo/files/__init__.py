"""Files: where the project's own are, and how they are read and written.

whole     written whole or not at all, read with their damage noticed
sums      sha256: inside a JSON file that the kit reads back, and in the list that comes with a folder of files
locks     one program at a time in a folder
notebooks read, with what is no notebook named
places    where the shipped data and notebooks are
"""

from safedpo.files.locks import exclusive
from safedpo.files.places import PACKAGE, shipped
from safedpo.files.sums import SUMS, changed, file_sha256, sealed, verified, write_sums
from safedpo.files.whole import (
    check_writable,
    is_number,
    leftover,
    read_json,
    read_lines,
    refusal_of_the_disk,
    remove_leftovers,
    whole_file,
    write_json,
    write_text,
    writing,
)

__all__ = [
    "PACKAGE",
    "SUMS",
    "changed",
    "check_writable",
    "exclusive",
    "file_sha256",
    "is_number",
    "leftover",
    "read_json",
    "read_lines",
    "refusal_of_the_disk",
    "remove_leftovers",
    "sealed",
    "shipped",
    "verified",
    "whole_file",
    "write_json",
    "write_sums",
    "write_text",
    "writing",
]
