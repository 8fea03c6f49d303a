from pathlib import Path

from pirate.disk.source import generation_of


def test_another_file_with_the_same_inode_has_another_generation(share: Path) -> None:
    seen = set()
    for _ in range(20):
        (share / "file").touch()
        known = (share / "file").stat().st_ino, generation_of(str(share), ("file",))
        assert known[1] == 0 or known not in seen
        seen.add(known)
        (share / "file").unlink()


def test_what_is_not_there_has_no_generation(share: Path) -> None:
    assert generation_of(str(share), ("nowhere",)) == 0
