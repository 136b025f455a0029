"""§9.6: a sealed case. What stands before its parcels, and how long the whole file is."""
from .base import A, B, M, Reject, T, U, decode, encode, require, u32
from .names import relay_contact_read
from .parcels import PARCEL, PARCEL_PLAIN, PARCELS, parcels_of

BEGINNING, HEADER_AT, HEADER_SIZE, DEPOSITS, UPLOADS = b"valise1 sealed\0\0", 20, 16777216, 17, 170017       # §9.6
SIZE = lambda v: U(4, PARCELS)(v) and parcels_of(v * PARCEL_PLAIN) == v                                     # §9.3
DEPOSIT = M({0: B(32), 1: T(1, 2**32), 2: B(32), 3: B(65536)})
UPLOAD = M({0: B(32), 1: SIZE, 2: U()})
CASE = M({0: A(DEPOSIT, 1, DEPOSITS), 1: A(UPLOAD, 0, UPLOADS)})


def read_case_header(raw):                                                                                   # §9.6
    case = decode(raw, CASE)
    for d in case[0]:
        try:
            relay_contact_read(d[1])
        except Reject:
            require(False, "bad-contact")
    require(all(u[2] < len(case[0]) for u in case[1]), "bad-place")
    return case


def case_length(header_size, uploads):                                                                       # §9.6
    """Of the whole file."""
    return HEADER_AT + header_size + PARCEL * sum(u[1] for u in uploads)


def make_case(deposits, uploads):                                                                            # §9.6
    """What stands before the parcels, and the length of the file."""
    header = encode({0: deposits, 1: uploads})
    read_case_header(header)
    require(len(header) <= HEADER_SIZE, "too-long")
    return BEGINNING + u32(len(header)) + header, case_length(len(header), uploads)


def read_case(first, length):                                                                                # §9.6
    """`first`: the first bytes of a file of `length` bytes, up to its first parcel or to its end. Gives the header, and where each
    upload begins."""
    require(first[:16] == BEGINNING and len(first) >= HEADER_AT, "bad-beginning")
    size = int.from_bytes(first[16:HEADER_AT], "big")
    require(size <= HEADER_SIZE, "too-long")
    require(HEADER_AT + size <= length, "bad-length")
    case = read_case_header(first[HEADER_AT:HEADER_AT + size])
    require(length == case_length(size, case[1]), "wrong-length")
    return case, [case_length(size, case[1][:n]) for n in range(len(case[1]))]
