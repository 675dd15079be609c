import subprocess
import sys


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import cbm, cbm.cli, sys; print(sorted({'torch', 'open_clip', 'faiss', 'sklearn', 'pandas', 'streamlit'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_open_clip_imports_beside_a_cpu_torch() -> None:
    script = "import cbm, open_clip, timm, torchvision.transforms; print(len(open_clip.list_models()) > 100)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "True"
