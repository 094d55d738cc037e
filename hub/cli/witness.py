"""`yimen witness ...`: run by the audit office or a department, on its own machine, to keep the hub honest."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.output import Json, note, tell
from hub.errors import Malformed
from hub.formats import jws
from hub.formats.note import COSIGNATURE, ED25519, Vkey, make_vkey, parse_vkey
from hub.ledger.witness import Witness
from keys.files import create as create_key
from keys.files import load as load_key
from keys.signer import Signer

app = typer.Typer(help="日志见证。 Witness a hub's ledger.", no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[Path, typer.Argument(help="见证方的数据目录。 The witness's own folder.")]
Passphrase = Annotated[
    Path, typer.Option(help="口令文件，取第一行。 File whose first line is the passphrase of the key.")
]


@app.command(help="生成见证密钥并指定日志。 Make the witness's key and name the logs it watches.")
def init(
    folder: Folder,
    name: Annotated[str, typer.Option(help="见证方名称，如 audit.example/w。 Its name, without scheme.")],
    log: Annotated[list[str], typer.Option(help="日志公钥（yimen ledger show）。 A log's verifier key.")],
    passphrase_file: Passphrase,
    json_out: Json = False,
) -> None:
    """Prints the verifier key that goes into the hub's YIMEN_WITNESSES, before the witness's URL."""
    logs = [str(_log(text)) for text in log]
    signer = create_key(folder, name="witness", alg="EdDSA", passphrase=_first_line(passphrase_file))
    key = _key(name, signer)
    settings = {"name": name, "logs": logs}
    (folder / "witness.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    tell({"witness_key": str(key), "logs": logs}, [str(key)], as_json=json_out)


@app.command(help="启动见证服务。 Answer add-checkpoint requests until told to stop.")
def serve(
    folder: Folder,
    passphrase_file: Passphrase,
    host: Annotated[str, typer.Option(help="监听地址。 Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="监听端口。 Port to listen on.")] = 8440,
) -> None:
    """One process for one folder; what it answers is durable before."""
    import uvicorn

    from hub.web.witness import witness_app

    witness, key = open_witness(folder, passphrase=_first_line(passphrase_file))
    note(f"见证方 {key.name} 在 {host}:{port} 启动", f"The witness listens: {key}")
    try:
        uvicorn.run(
            witness_app(witness, now=lambda: int(time.time())),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
        )
    finally:
        witness.close()


def open_witness(folder: Path, *, passphrase: str) -> tuple[Witness, Vkey]:
    """The witness that `init` made in `folder`. Raises KeyFault, Malformed `note.vkey`, Conflict `witness.busy`."""
    settings = json.loads((folder / "witness.json").read_text(encoding="utf-8"))
    signer = load_key(folder / "witness.pem", passphrase=passphrase)
    key = _key(settings["name"], signer)
    logs = {found.name: found for found in map(_log, settings["logs"])}
    return Witness(folder / "memory", signer=signer, key=key, logs=logs), key


def _key(name: str, signer: Signer) -> Vkey:
    return make_vkey(name, jws.b64u_decode(signer.public.jwk["x"]), COSIGNATURE)


def _log(text: str) -> Vkey:
    key = parse_vkey(text)
    if key.kind != ED25519:
        raise Malformed("note.vkey", "日志公钥类型不对。", "A log's key is of type 0x01.")
    return key


def _first_line(path: Path) -> str:
    return (path.read_text(encoding="utf-8").splitlines() or [""])[0]
