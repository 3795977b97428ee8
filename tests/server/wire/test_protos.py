import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
GENERATED = ROOT / "server" / "kedge_server" / "pb"


def test_the_committed_messages_are_those_of_the_proto_files(tmp_path: Path):
    subprocess.run([ROOT / "scripts" / "protos", tmp_path], check=True, cwd=tmp_path)
    made = {path.name: path.read_text("utf-8") for path in (tmp_path / "kedge_server" / "pb").iterdir()}
    committed = {
        path.name: path.read_text("utf-8")
        for path in GENERATED.iterdir()
        if path.is_file() and path.name != "__init__.py"
    }
    assert made
    assert made == committed, "run 'make protos'"


def test_every_proto_file_is_generated():
    protos = {path.stem for path in (ROOT / "proto").iterdir()}
    assert {path.name.removesuffix("_pb2.py") for path in GENERATED.glob("*_pb2.py")} == protos
