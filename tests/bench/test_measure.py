"""Programs piped into each other: what they take is told for each, and a failure is no figure."""

import os
import sys
from dataclasses import replace

import pytest

from bench.lab.stopwatch import ProgramFailedError
from bench.salesforce.measure import Program, run, tree_cpu

ENV = {"PATH": os.defpath}
BURN = "import time\nwhile time.process_time() < 0.4: pass\n"


def python(code, name="python", **more):
    return Program(name=name, argv=(sys.executable, "-I", "-S", "-c", code), env=ENV, **more)


def test_each_program_reads_what_the_one_before_writes_and_the_first_what_it_is_given():
    upper = python("import sys; sys.stdout.write(sys.stdin.read().upper())", "upper", stdin=b"pages")
    twice = python("import sys; sys.stdout.write(sys.stdin.read() * 2)", "twice")
    assert run([upper, twice]).stdout == b"PAGESPAGES"


def test_cpu_is_told_apart_and_counts_what_a_program_starts():
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', {BURN!r}], check=True)"
    cost = run([python("pass", "idle"), python(child, "busy")])
    assert cost.cpu["busy"] >= 0.39  # counted in hundredths
    assert cost.cpu["idle"] < 0.3
    assert cost.cpu_all == pytest.approx(sum(cost.cpu.values()))
    assert cost.wall >= 0.4


def test_memory_is_that_of_all_together_and_of_the_largest(tmp_path):
    hold = f"""if True:
        import os, sys, time
        b = bytearray(80 << 20)
        open(os.path.join({str(tmp_path)!r}, sys.argv[1]), "x")
        while len(os.listdir({str(tmp_path)!r})) < 2: time.sleep(0.01)
        time.sleep(1)
    """
    one, other = (replace(python(hold, name), argv=(*python(hold).argv, name)) for name in ("one", "other"))
    cost = run([one, other])
    assert 80 < cost.rss_largest < 120
    assert cost.rss > 150


@pytest.mark.parametrize("at", [0, 1])
def test_a_program_that_fails_is_named_with_what_it_said(at):
    chain = [python("pass", "fine"), python("pass", "fine")]
    chain[at] = python("import sys; sys.exit('no more disk')", "broken")
    with pytest.raises(ProgramFailedError, match="broken ended with status 1:\nno more disk"):
        run(chain)


def test_cpu_of_servers_beside_it_is_what_they_took_meanwhile():
    cost = run([python(BURN)], servers={"us": os.getpid()})
    assert cost.server_cpu["us"] >= 0.39  # counted in hundredths; the program is our child, and was waited for
    assert tree_cpu(os.getpid()) >= cost.server_cpu["us"]


def test_who_looks_on_is_called_while_the_programs_run(tmp_path):
    there = tmp_path / "there"
    wait = f"import os, time\nwhile not os.path.exists({str(there)!r}): time.sleep(0.01)\n"
    run([python(wait)], meanwhile=there.touch)
