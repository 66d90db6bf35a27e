"""Available memory, as the kernel and control groups give it, and what is kept in it."""

from __future__ import annotations

from mmdgan.data.memory import available_memory, choose_cache, explain


def system(root, meminfo="", cgroup="", **files):
    """A /proc and /sys of these contents; `files` have __ for / in their names."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(meminfo)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("memory_", "memory.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


MEMINFO = "MemTotal:  9000 kB\nMemFree:  1 kB\nMemAvailable:  4000 kB\n"


def test_available_memory_is_the_kernels(tmp_path):
    assert available_memory(system(tmp_path, MEMINFO)) == 4000 * 1024
    assert available_memory(tmp_path / "nothing") is None
    assert 2**20 < available_memory() < 2**50


def test_available_memory_obeys_control_groups_of_version_2(tmp_path):
    root = system(
        tmp_path,
        MEMINFO,
        "0::/job/step\n",
        job__step__memory_max="max",
        job__step__memory_current=500_000,
        job__memory_max=1_000_000,
        job__memory_current=900_000,
        job__memory_stat="anon 5\ninactive_file 300000",
    )
    assert available_memory(root) == 1_000_000 - 900_000 + 300_000


def test_available_memory_obeys_control_groups_of_version_1(tmp_path):
    files = {"limit_in_bytes": 2_000_000, "usage_in_bytes": 500_000, "stat": "total_inactive_file 100000"}
    files = {f"memory__memory_{name}": content for name, content in files.items()}
    root = system(tmp_path, MEMINFO, "5:cpu:/x\n4:memory,hugetlb:/outside/the/container\n0::/\n", **files)
    assert available_memory(root) == 1_600_000


def test_half_of_the_memory_is_for_images():
    assert [choose_cache(size, available=100) for size in (0, 50, 51, 1000)] == ["memory", "memory", "stream", "stream"]
    assert choose_cache(10) == "memory" and choose_cache(2**60) == "stream"
    assert explain("stream", 37_300_000_000).startswith("read from disk as they are needed (37.3 GB, with ")
    assert explain("memory", None) == "in memory" and "if they take at most half" in explain("auto", None)
