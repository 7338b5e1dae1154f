"""What a process can still do that has given up unix sockets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import seccomp

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine not in seccomp._MACHINES, reason="needs Linux on a machine we know"
)
GIVEN_UP = f"""
import asyncio, ctypes, os, socket, subprocess, sys
sys.path.insert(0, {str(Path(seccomp.__file__).parents[3])!r})
from orchestrator.drivers.meltano import seccomp
assert seccomp.no_unix_sockets()
def tried(step):
    try:
        step()
        return "works"
    except OSError as error:
        return type(error).__name__
"""


def said(program):
    command = [sys.executable, "-I", "-c", GIVEN_UP + program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_it_makes_no_unix_socket_and_all_others_nor_do_its_children():
    program = """
print(tried(lambda: socket.socket(socket.AF_UNIX).close()), tried(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)))
print(tried(lambda: socket.socket(socket.AF_INET).close()), tried(lambda: socket.create_server(("127.0.0.1", 0)).close()))
child = "import socket\\ntry: socket.socket(socket.AF_UNIX)\\nexcept PermissionError: print('PermissionError')"
print(subprocess.run([sys.executable, "-I", "-c", child], capture_output=True, text=True).stdout)
"""
    assert said(program) == ["PermissionError", "PermissionError", "works", "works", "PermissionError"]


def test_of_the_pairs_none_is_left_that_can_be_connected_again():
    program = """
def pair(kind):
    for one in socket.socketpair(socket.AF_UNIX, kind):
        one.close()
print(*(tried(lambda: pair(kind | socket.SOCK_CLOEXEC)) for kind in (1, 5, 2, 3)))  # stream, packets, datagrams, raw
"""
    assert said(program) == ["works", "works", "PermissionError", "PermissionError"]


def test_it_cannot_have_one_made_by_other_system_calls():
    program = """
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(425, 1, ctypes.create_string_buffer(256)), ctypes.get_errno())  # io_uring_setup
print(libc.syscall(0x40000000 | 41, 1, 1, 0) if os.uname().machine == "x86_64" else -1, ctypes.get_errno())
"""
    assert said(program) == ["-1", "13", "-1", "13"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs code for x86")
def test_it_cannot_have_one_made_by_the_calls_of_32_bit_programs():
    """`int 0x80` with the number of socket among them, by machine code: mov eax,359; mov ebx,1; mov ecx,1; …"""
    program = """
import mmap
code = bytes.fromhex("53b867010000bb01000000b90100000031d2cd805bc3")
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
print(call())
"""
    command = [sys.executable, "-I", "-c", GIVEN_UP + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "-13" or done.returncode < 0, "where the kernel has none of them the process ends"


def test_what_programs_need_of_sockets_between_their_own_threads_stays():
    program = """
async def main():
    process = await asyncio.create_subprocess_exec("/bin/echo", "works", stdout=asyncio.subprocess.PIPE)
    print((await process.communicate())[0].decode())
asyncio.run(main())
one, other = socket.socketpair()
one.sendall(b"x")
print(other.recv(1), socket.getaddrinfo("127.0.0.1", 80)[0][4][1])
"""
    assert said(program) == ["works", "b'x'", "80"]
