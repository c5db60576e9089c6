"""Root file systems of another Debian or another processor, made once and kept, with commands run inside them.

Needs the superuser: mmdebstrap, chroot, and mounts that are private to the command and vanish with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SHARED = REPO.parent / "shared"


@dataclass(frozen=True)
class Rootfs:
    """How one is made. A change of any field makes it anew."""

    name: str
    suite: str
    packages: tuple[str, ...]
    architecture: str = ""
    steps: tuple[str, ...] = ()
    """Shell commands run inside, once, with the network and the host's pip settings."""
    options: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> Path:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base / "edgevision-rigs" / self.name

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def missing(self) -> list[str]:
        """What this machine lacks, as Debian packages or in words."""
        absent = [] if shutil.which("mmdebstrap") else ["mmdebstrap"]
        if os.geteuid() != 0:
            absent.append("the superuser's rights (sudo)")
        if self.architecture == "arm64" and not Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
            absent += ["qemu-user-static", "binfmt-support", "arch-test"]
        return absent

    def build(self) -> None:
        recipe = hashlib.sha256(repr(self).encode()).hexdigest()
        stamp = self.folder / "recipe"
        if stamp.exists() and stamp.read_text() == recipe:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        base = hashlib.sha256(repr((self.suite, self.packages, self.architecture, self.options)).encode()).hexdigest()
        base_stamp = self.folder / "base"
        if not (base_stamp.exists() and base_stamp.read_text() == base):
            shutil.rmtree(self.root, ignore_errors=True)
            architecture = [f"--arch={self.architecture}"] if self.architecture else []
            command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(self.packages)}", *architecture]
            _checked([*command, *self.options, self.suite, str(self.root)], 3000)
            base_stamp.write_text(base)
        for step in self.steps:
            code, told = self.run(step, limit_s=3000, network=True)
            if code:
                raise RuntimeError(f"{self.name}: {step!r} failed ({code}):\n{told[-3000:]}")
        stamp.write_text(recipe)

    def run(self, command: str, limit_s: float, network: bool = False) -> tuple[int, str]:
        """A shell command inside; its exit code and what it said.

        There is no /sys: with that of another processor onnxruntime crashes. The working tree is /repo, read-only,
        with ../shared beside it where there is one; what is written to /report stays in the cache, as does the log.
        """
        (self.folder / "report").mkdir(exist_ok=True)
        mounts = [
            ("/dev", "dev", "--rbind"),
            (str(REPO), "repo", "ro"),
            (str(self.folder / "report"), "report", ""),
        ]
        if SHARED.exists():
            mounts.append((str(SHARED), "shared", "ro"))
        lines = ["set -e"]
        if network:
            lines.append(f"cp -L /etc/resolv.conf {self.root}/etc/resolv.conf")
            for path in pip_paths():
                if Path(path).is_dir():
                    mounts.append((path, path.lstrip("/"), "ro"))
                else:
                    lines.append(f"mkdir -p {self.root}{Path(path).parent}; cp -L {path} {self.root}{path}")
        for source, target, how in mounts:
            place = shlex.quote(str(self.root / target))
            kind = "--rbind" if how == "--rbind" else "--bind"
            lines += [f"mkdir -p {place}", f"mount {kind} {shlex.quote(source)} {place}"]
            if how == "ro":
                lines.append(f"mount -o remount,ro,bind {place}")
        # Of the processes inside: with the outer one a process would find itself under another number.
        proc = shlex.quote(str(self.root / "proc"))
        lines += [f"mkdir -p {proc}", f"mount -t proc proc {proc}"]
        inner = f"cd /repo && {command}"
        lines.append(f"exec chroot {shlex.quote(str(self.root))} /bin/sh -c {shlex.quote(inner)}")
        variables = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "HTTP", "http"))}
        variables |= {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8"}
        variables |= {"PYTHONDONTWRITEBYTECODE": "1", "DEBIAN_FRONTEND": "noninteractive"}
        log = self.folder / "log"  # to be followed while it runs
        with log.open("wb") as told:
            try:
                code = subprocess.run(
                    ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", "\n".join(lines)],
                    stdin=subprocess.DEVNULL,
                    stdout=told,
                    stderr=subprocess.STDOUT,
                    env=variables,
                    timeout=limit_s,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = 124
                told.write(f"\nstopped after {limit_s:.0f} s\n".encode())
        return code, log.read_text(errors="replace")


def pip_paths() -> list[str]:
    """Files and folders of this machine that its pip settings name: mirrors, certificates, the settings themselves."""
    told = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    named = [word.removeprefix("file://") for word in re.findall(r"[^\s'\",=]+", told)]
    paths = {Path(word) for word in named if word.startswith("/")} | {Path("/etc/pip.conf")}
    # A certificate's folder rather than the file, which is often a link into another one.
    paths = {path.parent if path.suffix in (".crt", ".pem") else path for path in paths if path.exists()}
    return sorted(str(path) for path in paths)


def _checked(command: list[str], limit_s: float) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr[-3000:]}")
