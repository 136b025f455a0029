"""Valise, version 1, read from the specification. Every function cites its section.

Nothing here draws randomness: functions take keys, nonces and encapsulation randomness as arguments, or an `rng`
(a callable: number of bytes -> bytes).
"""
from .base import *
from .names import *
from .noise import *
from .envelope import *
from .card import *
from .parcels import *
from .messages import *
from .sealed import *
from .link import *
from .base import LENIENT, P25519, L25519
