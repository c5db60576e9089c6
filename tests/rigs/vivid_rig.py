"""A guest with a real V4L2 camera: QEMU, a Debian kernel, its vivid driver, and this machine's files over 9p.

The guest sees this machine's root read-only, so the same interpreter and the same working tree run inside.
Everything built is kept under the cache folder and made again only when the kernel package changes.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "modprobe": "kmod",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "v4l2-ctl": "v4l-utils",
}
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "vivid")

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
for module in $(cat /modules.order); do
    case $module in
        vivid.ko) insmod /modules/$module n_devs=1 node_types=0x1 ;;  # one device, video capture only
        *) insmod /modules/$module ;;
    esac
done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host
mount --rbind /dev /host/dev
mount --rbind /proc /host/proc
mount --rbind /sys /host/sys
mount -t tmpfs scratch /host/mnt
ifconfig lo 127.0.0.1 up
HOME=/mnt TMPDIR=/mnt PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin chroot /host /bin/sh "$GUEST_SCRIPT"
echo "GUEST EXIT $?"
sync
poweroff -f
"""


def cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "edgevision-rigs" / "vivid"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tool(name: str) -> str | None:
    """Where a program is; administrators' programs are often not on a plain user's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def missing() -> list[str]:
    """Debian packages that the rig needs and this machine lacks."""
    return sorted({package for name, package in TOOLS.items() if tool(name) is None})


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
    return done.stdout


def kernel_package() -> str:
    """The package that Debian's meta package asks for at present."""
    for line in run("apt-cache", "depends", "linux-image-amd64").splitlines():
        word = line.split()[-1]
        if word.startswith("linux-image-") and "Depends:" in line:
            return word
    raise RuntimeError("linux-image-amd64 depends on no kernel: this rig needs Debian's package lists (apt-get update)")


def build() -> tuple[Path, Path]:
    """The guest's kernel and initrd, made where absent."""
    folder = cache()
    package = kernel_package()
    kernel, initrd = folder / f"{package}.vmlinuz", folder / f"{package}.initrd"
    unpacked = folder / package
    if not (unpacked / "boot").exists():
        run("apt-get", "download", package, cwd=folder)
        archive = next(folder.glob(f"{package}_*.deb"))
        run("dpkg-deb", "-x", str(archive), str(unpacked))
        archive.unlink()
    release = next((unpacked / "lib/modules").iterdir()).name
    if not kernel.exists():
        shutil.copyfile(next((unpacked / "boot").glob("vmlinuz-*")), kernel)
    root = folder / "initrd-root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "host", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copyfile(tool("busybox") or "busybox", root / "bin/busybox")
    (root / "bin/busybox").chmod(0o755)
    run(tool("depmod") or "depmod", "-b", str(unpacked), release)
    order: list[str] = []
    for module in MODULES:
        shown = run(tool("modprobe") or "modprobe", "-d", str(unpacked), "-S", release, "--show-depends", module)
        for line in shown.splitlines():
            path = Path(line.split()[1])
            if line.startswith("insmod") and path.name not in order:
                order.append(path.name)
                shutil.copyfile(path, root / "modules" / path.name)
    (root / "modules.order").write_text("\n".join(order) + "\n")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=root, capture_output=True, check=True
    )
    initrd.write_bytes(gzip.compress(packed.stdout, 1))
    return kernel, initrd


def boot(command: str, limit_s: float = 600.0) -> tuple[int, str]:
    """Run a shell command inside the guest; its exit code and all it wrote to the console.

    The exit code is 125 where the guest ended without one (a panic, or the time limit).
    """
    kernel, initrd = build()
    script = cache() / "guest.sh"
    # Compiled files are the guest's own: the host may be writing its own while they are read.
    settings = f"PYTHONPYCACHEPREFIX=/mnt/compiled PYTHONFAULTHANDLER=1 PYTHON={sys.executable}"
    script.write_text(f"export {settings}\ncd {REPO} || exit 1\n{command}\n")
    machine = [
        tool("qemu-system-x86_64") or "qemu-system-x86_64",
        # emulation, not KVM: nested virtualisation hangs on too many machines, and the guest has little to do
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2000", "-smp", "2", "-nographic", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", f"console=ttyS0 quiet panic=-1 GUEST_SCRIPT={script}"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
    ]
    log = cache() / "console.log"  # to be followed while it runs
    with log.open("wb") as console:
        try:
            subprocess.run(
                machine,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            console.write(f"\nthe guest was stopped after {limit_s:.0f} s\n".encode())
    text = log.read_text(errors="replace").replace("\r", "")
    code = 125
    for line in text.splitlines():
        if line.startswith("GUEST EXIT "):
            code = int(line.split()[2])
    return code, text
