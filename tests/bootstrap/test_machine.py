from __future__ import annotations

import dataclasses

import pytest

from bootstrap.console import SetupError
from bootstrap.machine import Machine, check_disk, parse_os_release, runtime_release

BOOKWORM = Machine(
    system="Linux",
    processor="x86_64",
    libc=(2, 36),
    os_id="debian",
    os_name="Debian GNU/Linux 12 (bookworm)",
    codename="bookworm",
)


def changed(**facts: object) -> Machine:
    return dataclasses.replace(BOOKWORM, **facts)


def test_debian_12_borrows_the_c_runtime_of_debian_13():
    assert runtime_release(BOOKWORM) == "trixie"


@pytest.mark.parametrize("libc", [(2, 39), (2, 41), (3, 0)])
def test_a_system_that_is_new_enough_borrows_none(libc):
    assert runtime_release(changed(libc=libc, os_id="ubuntu", codename="noble")) is None


def test_a_mac_with_arm64_borrows_none():
    assert runtime_release(changed(system="Darwin", processor="arm64", libc=None, os_id="", codename="")) is None


def test_an_old_system_that_is_not_debian_is_told_what_to_use():
    old = changed(os_id="ubuntu", os_name="Ubuntu 22.04.4 LTS", codename="jammy", libc=(2, 35))
    with pytest.raises(
        SetupError, match=r"2\.39 or newer; this is Ubuntu 22\.04\.4 LTS .* with 2\.35.*container.*newer system"
    ):
        runtime_release(old)


def test_a_derivative_of_debian_is_not_debian():
    with pytest.raises(SetupError, match="container image"):
        runtime_release(changed(os_id="linuxmint", os_name="LMDE 6"))


def test_another_c_library_is_told_so():
    with pytest.raises(SetupError, match=r"Alpine Linux v3\.20 on x86_64, with another"):
        runtime_release(changed(libc=None, os_id="alpine", os_name="Alpine Linux v3.20"))


def test_another_processor_is_told_which_there_are():
    with pytest.raises(SetupError, match=r"Linux on x86_64 and macOS on arm64 only; this is .* on aarch64"):
        runtime_release(changed(processor="aarch64"))


def test_too_little_disk_is_told_in_figures(tmp_path):
    with pytest.raises(SetupError, match=rf"about 6 GB of free disk; {tmp_path} has 2\.5 GB"):
        check_disk(tmp_path, 6.0, free_gb=2.5)
    check_disk(tmp_path, 6.0, free_gb=6.0)


def test_os_release_values_lose_their_quotes():
    text = "# a comment\nID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME='bookworm'\n"
    assert parse_os_release(text) == {
        "ID": "debian",
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
        "VERSION_CODENAME": "bookworm",
    }
