"""Request IDs that all have one hash under uthash's HASH_JEN, which has no key: its last steps are taken back."""

import os

MASK = 0xffffffff


def mix(a: int, b: int, c: int) -> tuple:
    for right, left, end in ((13, 8, 13), (12, 16, 5), (3, 10, 15)):
        a = (a - b - c) & MASK ^ c >> right
        b = (b - c - a) & MASK ^ a << left & MASK
        c = (c - a - b) & MASK ^ b >> end
    return a, b, c


def unmix(a: int, b: int, c: int) -> tuple:
    for right, left, end in ((3, 10, 15), (12, 16, 5), (13, 8, 13)):
        c = ((c ^ b >> end) + a + b) & MASK
        b = ((b ^ a << left & MASK) + c + a) & MASK
        a = ((a ^ c >> right) + b + c) & MASK
    return a, b, c


def hash_jen(key: bytes) -> int:
    """Of 16 bytes."""
    first, second, third, last = (int.from_bytes(key[i:i + 4], "little") for i in range(0, 16, 4))
    start = 0x9e3779b9
    i, j, h = mix((start + first) & MASK, (start + second) & MASK, (0xfeedbeef + third) & MASK)
    return mix((i + last) & MASK, j, (h + 16) & MASK)[2]


def colliding(hashed: int = 0) -> bytes:
    """Another ID with that hash."""
    i, j, last = (int.from_bytes(os.urandom(4), "little") for _ in range(3))
    i, j, h = unmix(i, j, hashed)
    i, j, h = unmix((i - last) & MASK, j, (h - 16) & MASK)
    words = i - 0x9e3779b9, j - 0x9e3779b9, h - 0xfeedbeef, last
    return b"".join((w & MASK).to_bytes(4, "little") for w in words)
