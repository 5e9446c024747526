# SPDX-License-Identifier: Apache-2.0
# DVPP V2's structures go in and out as dicts, by the tables that the build makes of himpi.h (himpi_members.h).
#
# As in pyACL, what a dict lacks is 0, a number that is no int counts as lacking, and lists may be shorter than the array.
from cpython.dict cimport PyDict_GetItemWithError
from libc.stdint cimport uint8_t, uint16_t

cdef extern from "Python.h":
    bint is_dict "PyDict_Check"(PyObject *)
    bint is_list "PyList_Check"(PyObject *)
    Py_ssize_t list_length "PyList_GET_SIZE"(PyObject *)
    PyObject *list_item "PyList_GET_ITEM"(PyObject *, Py_ssize_t)
    unsigned long ulong_or_raise "PyLong_AsUnsignedLong"(PyObject *) except? 0xFFFFFFFFFFFFFFFF
    void *address_or_raise "PyLong_AsVoidPtr"(PyObject *) except? NULL


cdef int make_keys() except -1:
    cdef int i
    for structure in himpi_structures[:HIMPI_STRUCTURES]:
        for i in range(structure.count):
            name = sys.intern((<bytes>structure.members[i].name).decode())
            Py_INCREF(name)  # for as long as the process lasts
            structure.members[i].key = <void *><PyObject *>name
    return 0


make_keys()


# ---- dicts to structures -----------------------------------------------------------------------------------------------

# By kind: pyACL's words for a number that it refuses, and what it takes.
cdef dict REFUSALS = {
    HIMPI_ADDRESS: ("PyLong_AsVoidPtr", "an address is an int of 64 bits"),
    HIMPI_S32: ("PyLong_AsLong", "allowed are 32 bits with a sign"),
}


cdef int read_number(const himpi_member *member, PyObject *value, char *target) except -1:
    """Store an int as C converts it. ValueError where pyACL has one: below zero, or beyond 64 bits."""
    cdef unsigned long wide = 0
    try:
        if member.kind == HIMPI_ADDRESS:
            (<void **>target)[0] = NULL if <object>value is None else address_or_raise(value)
        elif member.kind == HIMPI_S32:
            (<int32_t *>target)[0] = <int32_t>long_or_raise(value)
        else:
            wide = ulong_or_raise(value)
    except (TypeError, OverflowError):
        function, allowed = REFUSALS.get(member.kind, ("PyLong_AsUnsignedLong", "allowed is 0 or more"))
        raise ValueError(f"{function} failed: {(<bytes>member.name).decode()} is {<object>value!r}; {allowed}")
    if member.kind == HIMPI_U64:
        (<uint64_t *>target)[0] = wide
    elif member.kind == HIMPI_U32:
        (<uint32_t *>target)[0] = <uint32_t>wide
    elif member.kind == HIMPI_U16:
        (<uint16_t *>target)[0] = <uint16_t>wide
    elif member.kind == HIMPI_U8:
        (<uint8_t *>target)[0] = <uint8_t>wide
    return 0


cdef bint read_value(const himpi_member *member, PyObject *value, char *target) except -1:
    """Store a member, or an item of its list. False for a number that is no int: it counts as lacking."""
    if member.kind == HIMPI_PART:
        read_members(value, member.part, target)
    elif member.kind == HIMPI_ADDRESS or is_int(value):
        read_number(member, value, target)
    else:
        return False
    return True


cdef int read_list(const himpi_member *member, PyObject *values, char *target) except -1:
    cdef Py_ssize_t i, length
    cdef object _held
    if not is_list(values):
        return 0
    length = list_length(values)
    if length > member.count:
        raise ValueError(f"The length of {(<bytes>member.name).decode()} should be no greater than {member.count}")
    for i in range(length):
        if i >= list_length(values):  # the comparison of a key, which may be the program's, has made it shorter
            break
        _held = <object>list_item(values, i)
        if not read_value(member, <PyObject *>_held, target + i * member.size):
            break  # as pyACL: the rest is lacking
    return 0


cdef int read_members(PyObject *given, const himpi_structure *structure, char *base) except -1:
    """Put into a structure what a dict has of it; the rest stays as it is."""
    cdef const himpi_member *member
    cdef PyObject *value
    cdef object _held
    cdef int i
    if given == NULL or not is_dict(given):
        raise TypeError((<bytes>structure.refusal).decode())
    for i in range(structure.count):
        member = &structure.members[i]
        if not member.is_read:
            continue
        if member.is_chosen and structure.choice >= 0 \
                and (<const int32_t *>(base + structure.choice))[0] != member.value:
            continue
        value = PyDict_GetItemWithError(<object>given, <object>member.key)
        _held = None if value == NULL else <object>value  # the comparison of a key, further inside, may drop it
        if value == NULL and not (member.kind == HIMPI_PART and member.part.is_required):
            continue
        if member.count != 0:
            read_list(member, value, base + member.offset)
        else:
            read_value(member, value, base + member.offset)
    return 0


cdef int read_dict(object given, const himpi_structure *structure, char *base) except -1:
    """Make a structure of a dict: zeros, and what the dict has."""
    memset(base, 0, structure.size)
    return read_members(<PyObject *>given, structure, base)


# ---- structures to dicts -----------------------------------------------------------------------------------------------

cdef object write_member(const himpi_member *member, const char *source, int choice):
    if member.kind == HIMPI_PART:
        return write_dict(member.part, source, choice)
    if member.kind == HIMPI_S32:
        return (<const int32_t *>source)[0]
    if member.kind == HIMPI_U32:
        return (<const uint32_t *>source)[0]
    if member.kind == HIMPI_U8:
        return (<const uint8_t *>source)[0]
    if member.kind == HIMPI_U16:
        return (<const uint16_t *>source)[0]
    if member.kind == HIMPI_DOUBLE:
        return (<const double *>source)[0]
    return (<const uint64_t *>source)[0]


cdef object write_dict(const himpi_structure *structure, const char *base, int choice):
    """The dict of a structure. `choice`: which of its alternatives counts, where no member of its own says so."""
    cdef const himpi_member *member
    cdef int i, j
    cdef dict made = {}
    for i in range(structure.count):
        member = &structure.members[i]
        if member.is_chosen and not structure.gives_all and member.value != (
                (<const int32_t *>(base + structure.choice))[0] if structure.choice >= 0 else choice):
            continue
        if member.count == 0:
            value = write_member(member, base + member.offset, choice)
        else:
            value = [write_member(member, base + member.offset + j * member.size, choice)
                     for j in range(member.count)]
        made[<object>member.key] = value
    return made
