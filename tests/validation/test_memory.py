"""What memory is left, and tables that would take more."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from jbc.data import read_table
from jbc.data.io.room import shape
from jbc.errors import InputError
from jbc.validation import memory

MEMINFO = (
    "MemTotal:       8000 kB\nMemFree:         100 kB\nMemAvailable:    4000 kB\nHugePages_Total:       0\n"
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Write files of a system that has nothing but these; return what is available there."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")

    def write(files: dict[str, str]) -> int:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return memory.available()

    return write


def group(folder: str, limit: str, usage: int, files: int = 0, version: int = 2) -> dict[str, str]:
    if version == 2:
        names, stat = ("memory.max", "memory.current"), f"anon 7\ninactive_file {files}\nactive_file 0\n"
    else:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        stat = f"inactive_file 0\ntotal_inactive_file {files}\ntotal_active_file 0\n"
    return {
        f"groups/{folder}/{names[0]}": f"{limit}\n",
        f"groups/{folder}/{names[1]}": f"{usage}\n",
        f"groups/{folder}/memory.stat": stat,
    }


def test_what_the_machine_has(machine):
    assert machine({"proc/meminfo": MEMINFO}) == 4000 * 1024


@pytest.mark.parametrize("files", [{}, {"proc/meminfo": "MemTotal: 3 kB\n"}, {"proc/meminfo": "nonsense"}])
def test_a_system_that_tells_nothing_sets_no_limit(machine, files):
    assert machine(files) == sys.maxsize


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (group("job", "900000", 500000), 400_000),
        (group("job", "900000", 500000, files=300000), 700_000),  # what caches give up
        (group("job", "400000", 500000), 0),
        (group("job", "max", 500000), 4000 * 1024),
        (group("job/step", "max", 1) | group("job", "900000", 500000), 400_000),  # the one around it counts
        (group(".", "900000", 500000), 400_000),  # inside a container, where the name is the host's
    ],
)
def test_control_groups(machine, files, expected):
    assert machine({"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/job/step\n"}) == 4000 * 1024
    assert machine(files) == expected


@pytest.mark.parametrize("folder", ["memory/docker/1", "memory"])
def test_control_groups_of_the_first_version(machine, folder):
    lines = "9:name=systemd:/\n4:cpu,memory:/docker/1\n2:cpuset:/\n0::/\n"
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": lines}
    assert machine(files | group(folder, "900000", 500000, 200000, version=1)) == 600_000
    assert machine(group(folder, "9223372036854771712", 500000, version=1)) == 4000 * 1024


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no other system tells how much is in use")
def test_a_limit_of_address_space_counts():
    script = (
        "import resource; from jbc.validation import memory; free = memory.available();"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); print(free, memory.available())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    free, limited = map(int, done.stdout.split())
    assert 2**28 < limited < min(2**30, free)


def test_asking_is_cheap():
    begun = time.perf_counter()
    for _ in range(20):
        memory.available()
    assert time.perf_counter() - begun < 1


# Tables.


def of(path: Path, rows: int = 300, columns: int = 40) -> Path:
    """A table of zeros, which files hold in next to nothing."""
    names = [f"m{column}" for column in range(columns)]
    frame = pd.DataFrame(np.zeros((rows, columns)), columns=names).assign(plate=["P1", "P2"] * (rows // 2))
    if path.suffix == ".h5ad":
        x = frame[names].to_numpy(np.float32)
        obs = frame[["plate"]].set_axis([f"r{row}" for row in range(rows)])
        anndata.AnnData(x, obs, pd.DataFrame(index=names)).write_h5ad(path, compression="gzip")
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        lines = ["plate", *names], ["P1", *["0"] * columns], ["P2", *["0"] * columns]
        head, one, two = (("\t" if ".tsv" in path.name else ",").join(line) + "\n" for line in lines)
        content = (head + (one + two) * (rows // 2)).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.tsv.gz", "a.parquet", "a.h5ad"])
def test_tables_that_do_not_fit_are_refused_with_numbers(tmp_path, monkeypatch, name):
    path = of(tmp_path / name)
    assert read_table(path, keys=["plate"]).x.shape == (300, 40)
    monkeypatch.setattr(memory, "available", lambda: 30_000)
    with pytest.raises(InputError) as caught:
        read_table(path, keys=["plate"])
    told = str(caught.value)
    assert caught.value.code == "too-large"
    assert re.search(r"30[01] rows × 4[01] columns", told)  # the header and the batch may count as well
    assert "29.3 KiB" in told
    assert str(path) in told
    assert ("of text" in told) == (".csv" in name or ".tsv" in name)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.h5ad"])
def test_memory_that_is_used_up_is_an_input_error(tmp_path, monkeypatch, name):
    path = of(tmp_path / name)

    def full(*_, **__):
        raise MemoryError

    for module in ("jbc.data.io.tables.split", "jbc.data.io.tables._select"):
        monkeypatch.setattr(module, full)
    with pytest.raises(InputError, match="used up while reading") as caught:
        read_table(path)
    assert caught.value.code == "too-large"


def test_a_small_file_that_unpacks_to_a_huge_one_is_given_up_early(tmp_path, monkeypatch):
    line = b"P1" + b",0" * 5000 + b"\n"
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", 6) as file:
        file.write(b"plate," + ",".join(f"m{column}" for column in range(5000)).encode() + b"\n")
        for _ in range(3000):
            file.write(line)
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(memory, "available", lambda: 10**8)
    begun = time.perf_counter()
    with pytest.raises(InputError, match="of text, about") as caught:
        read_table(path, keys=["plate"])
    assert time.perf_counter() - begun < 2
    assert caught.value.code == "too-large"
    rows = int(str(caught.value).split("about ")[1].split(" rows")[0].replace(",", ""))
    assert 1000 < rows < 9000  # guessed from the part that was unpacked


def test_files_of_several_members_and_with_zeros_behind_are_unpacked_whole(tmp_path):
    lines = [f"a,{row}\n".encode() for row in range(200_000)]
    parts = [b"plate,x\n", *(b"".join(lines[start : start + 50_000]) for start in range(0, 200_000, 50_000))]
    (tmp_path / "a.csv.gz").write_bytes(b"".join(map(gzip.compress, parts)) + bytes(99))
    table = read_table(tmp_path / "a.csv.gz", keys=["plate"])
    assert table.x[:, 0].tolist() == list(range(200_000))


@pytest.mark.parametrize("cut", [1, 9, 400_000])
def test_a_long_file_that_breaks_off_is_damaged(tmp_path, cut):
    content = gzip.compress("x\n".join(map(repr, np.random.default_rng(0).random(150_000))).encode())
    (tmp_path / "a.csv.gz").write_bytes(content[:-cut])
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / "a.csv.gz")
    assert caught.value.code == "damaged-file"


@pytest.mark.parametrize(
    ("sample", "features", "columns", "texts"),
    [
        (b"id,a,b\nr1,1,2\nr2,,NA\nr3,1", None, 3, 1 / 3),
        (b"id,a,b\nr1,1,2\n", ["a"], 3, 2 / 3),
        (b"\n\na,b\n", None, 2, 0),
        (b'a,b\n1,"x', None, 2, 0),
        (b"", None, 0, 0),
        (b"\xff\xfe\0a", None, 1, 0),
        (b"a" * 200_000, None, 1, 0),  # longer than a cell may be
    ],
)
def test_the_beginning_of_a_file_tells_its_shape(sample, features, columns, texts):
    found = shape(sample, ",", features)
    assert (found.columns, found.texts) == (columns, pytest.approx(texts))
    assert found.factor >= 2


PEAK = """
import os, sys, warnings
from pathlib import Path
import anndata, pandas, pyarrow.compute, pyarrow.csv, pyarrow.parquet
from jbc.validation import memory
from jbc.data.io import room, tables

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024

needed = []
told = room.need_room
def noted(path, size, *rest):
    needed.append(size)
    told(path, size, *rest)
for module in sys.modules.values():
    if getattr(module, "need_room", None) is told:
        module.need_room = noted
memory.available = lambda: 2**40
for path in sys.argv[1:]:
    pid = os.fork()  # so that what one file leaves behind is not there for the next
    if not pid:
        before = status("VmRSS:")
        Path("/proc/self/clear_refs").write_text("5")
        tables.read_table(path, keys=["plate"])
        print(path.split("/")[-1], needed[0], status("VmHWM:") - before, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs the peak of Linux, reset")
def test_what_is_expected_is_what_reading_takes(tmp_path):
    """Nothing is refused that would fit well, nor let pass that takes much more."""
    rng = np.random.default_rng(0)
    # Files large enough that the 25 MB which libraries take once do not count.
    sizes = {"csv": 6000, "parquet": 12_000, "h5ad": 30_000}
    paths = [of(tmp_path / f"zeros.{suffix}", rows, 1000) for suffix, rows in sizes.items()]
    long = pd.DataFrame(rng.normal(size=(6000, 500))).add_prefix("m").assign(plate="P1")
    words = pd.DataFrame({f"w{i}": [f"well {row % 384}" for row in range(100_000)] for i in range(6)})
    long.to_csv(tmp_path / "long.csv", index=False)
    words.assign(plate="P1", m=1.5).to_csv(tmp_path / "words.csv", index=False)
    paths += [tmp_path / "long.csv", tmp_path / "words.csv"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, paths)], capture_output=True, text=True, check=True
    )
    found = {
        name: (float(needed), int(peak)) for name, needed, peak in map(str.split, done.stdout.splitlines())
    }
    assert len(found) == len(paths), done.stderr
    for name, (needed, peak) in found.items():
        assert 0.5 < needed / peak < 1.25, (
            f"{name}: {needed / 1e6:.0f} MB expected, {peak / 1e6:.0f} MB taken"
        )
