"""Wheels of Debian's packages, so that pip can install them where it has no network: /usr/bin/python3 wheels.py INTO"""
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# What each needs; Debian's own metadata do not say it. Those that a release of Debian does not have it does not need.
needs = {
    "flask": ["click", "itsdangerous", "jinja2", "werkzeug"],
    "jinja2": ["markupsafe"],
    "werkzeug": ["markupsafe"],
    "gunicorn": ["packaging"],
    "fastapi": ["pydantic", "starlette", "typing_extensions"],
    "pydantic": ["typing_extensions"],
    "starlette": ["anyio"],
    "anyio": ["idna", "sniffio"],
    "uvicorn": ["asgiref", "click", "h11"],
}
into = Path(sys.argv[1])


def installed(name):
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def files(found):
    name = found.metadata["Name"].lower().replace("-", "_")
    for top in [name] + (found.read_text("top_level.txt") or "").split():
        for path in [found.locate_file(top), found.locate_file(f"{top}.py")]:
            yield from [path] if path.is_file() else path.rglob("*")


def pack(name, found, needed):
    info = f"{name}-{found.version}.dist-info"
    with zipfile.ZipFile(into / f"{name}-{found.version}-py3-none-any.whl", "w") as wheel:
        for file in {file for file in files(found) if file.is_file() and "__pycache__" not in file.parts}:
            wheel.write(file, file.relative_to(found.locate_file("")))
        requires = "".join(f"Requires-Dist: {need}\n" for need in needed)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {found.version}\n{requires}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


everything = {name: installed(name) for name in [*needs, *sum(needs.values(), [])]}
for name, found in everything.items():
    if found is not None:
        pack(name, found, [need for need in needs.get(name, []) if everything[need] is not None])
