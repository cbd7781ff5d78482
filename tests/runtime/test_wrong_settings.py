"""What is wrong in the environment is a sentence before anything is started or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from paymesh.db.migrate import ROOT
from paymesh.settings import SERVICES, SettingsWrong, known_names, read, settings_of
from paymesh.signing import generate_key_pair

SECRET = "hunter2"
ENCODE = (
    "is ambiguous: a character of its user or password must be percent-encoded "
    "(@ is %40, / is %2F, : is %3A, % is %25, a space is %20)"
)
NO_URL = "is no URL such as postgresql://user:password@host:5432/database"
FILES = {"key": bytes(32), "short": bytes(3), "garbage.pem": b"no key at all", "file": b""}


@dataclass
class Case:
    """A command, what its environment says beside what is right, and all that it answers."""

    command: str
    said: str
    env: dict[str, str] = field(default_factory=dict)
    """{folder} is the case's own."""


RIGHT = {
    "PAYMESH_TRADE_DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
    "PAYMESH_PAY_DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
    "PAYMESH_GATEWAY_DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
    "PAYMESH_CLEARING_DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
    "PAYMESH_AMQP_URL": "amqp://guest:guest@127.0.0.1:1/",
    "PAYMESH_SECRET_KEY_FILE": "{folder}/key",
    "PAYMESH_HOME": "{folder}/home",
}
CASES = {
    "nothing is set": Case(
        "trade_svc serve",
        "PAYMESH_TRADE_DATABASE_URL is not set: the application role's URL, "
        "postgresql://user:password@host:5432/database",
        {"PAYMESH_TRADE_DATABASE_URL": ""},
    ),
    "no key": Case(
        "pay_svc work",
        "PAYMESH_SECRET_KEY_FILE is not set: a file with 32 random bytes",
        {"PAYMESH_SECRET_KEY_FILE": "-"},
    ),
    "no owner": Case(
        "clearing_svc migrate",
        "PAYMESH_CLEARING_OWNER_URL is not set: the database's owner role, "
        "postgresql://user:password@host:5432/database",
    ),
    "misspelt": Case(
        "pay_svc serve",
        "PAYMESH_TIME_SCAL is no setting: did you mean PAYMESH_TIME_SCALE?",
        {"PAYMESH_TIME_SCAL": "1"},
    ),
    "invented": Case(
        "clearing_svc work",
        "PAYMESH_FOO is no setting: docs/OPERATIONS.md has all that there are",
        {"PAYMESH_FOO": "1"},
    ),
    "negative pool": Case(
        "trade_svc work",
        "PAYMESH_DATABASE_POOL is '-1': input should be greater than or equal to 1",
        {"PAYMESH_DATABASE_POOL": "-1"},
    ),
    "no number": Case(
        "trade_svc work",
        "PAYMESH_DRAIN_WAIT_S is 'soon': input should be a valid number, unable to parse string "
        "as a number",
        {"PAYMESH_DRAIN_WAIT_S": "soon"},
    ),
    "time stands still": Case(
        "gateway_svc ingress",
        "PAYMESH_TIME_SCALE is '0': input should be greater than 0",
        {"PAYMESH_TIME_SCALE": "0"},
    ),
    "no time": Case(
        "pay_svc work",
        "PAYMESH_TIME_SCALE is 'nan': input should be a finite number",
        {"PAYMESH_TIME_SCALE": "nan"},
    ),
    "metrics port": Case(
        "clearing_svc serve",
        "PAYMESH_METRICS_PORT is '70000': input should be less than or equal to 65535",
        {"PAYMESH_METRICS_PORT": "70000"},
    ),
    "listen port": Case(
        "trade_svc serve",
        "PAYMESH_LISTEN is '127.0.0.1:70000': it must be host:port, and a port is 0 to 65535",
        {"PAYMESH_LISTEN": "127.0.0.1:70000"},
    ),
    "first day": Case(
        "clearing_svc migrate",
        "PAYMESH_BOOKS_FIRST_DAY is 9999-12-31: it must be a day from 1900-01-01 to today (UTC)",
        {"PAYMESH_BOOKS_FIRST_DAY": "9999-12-31"},
    ),
    "no day": Case(
        "clearing_svc work",
        "PAYMESH_BOOKS_FIRST_DAY is '1', which is no day such as 2026-01-31",
        {"PAYMESH_BOOKS_FIRST_DAY": "1"},
    ),
    "log level": Case(
        "trade_svc serve",
        "PAYMESH_LOG_LEVEL is 'LOUD': input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or "
        "'CRITICAL'",
        {"PAYMESH_LOG_LEVEL": "LOUD"},
    ),
    "no broker": Case(
        "trade_svc work",
        "PAYMESH_AMQP_URL is no URL such as amqp://user:password@host:5672/vhost",
        {"PAYMESH_AMQP_URL": f"http://u:{SECRET}@host/"},
    ),
    "another database": Case(
        "trade_svc serve",
        f"PAYMESH_TRADE_DATABASE_URL {NO_URL}",
        {"PAYMESH_TRADE_DATABASE_URL": f"mysql://u:{SECRET}@host/d"},
    ),
    "database port": Case(
        "pay_svc serve",
        "PAYMESH_PAY_DATABASE_URL has the port 70000; one is 1 to 65535",
        {"PAYMESH_PAY_DATABASE_URL": f"postgresql://u:{SECRET}@host:70000/d"},
    ),
    "raw @": Case(
        "clearing_svc migrate",
        f"PAYMESH_CLEARING_OWNER_URL {ENCODE}",
        {"PAYMESH_CLEARING_OWNER_URL": f"postgresql://u:{SECRET}@home@host/d"},
    ),
    "raw /": Case(
        "trade_svc serve",
        f"PAYMESH_TRADE_DATABASE_URL {ENCODE}",
        {"PAYMESH_TRADE_DATABASE_URL": f"postgresql://u:{SECRET}/home@host/d"},
    ),
    "raw %": Case(
        "trade_svc serve",
        f"PAYMESH_AMQP_URL {ENCODE}",
        {"PAYMESH_AMQP_URL": f"amqp://u:100%{SECRET}@host/"},
    ),
    "raw space": Case(
        "paymesh_ops.cli.main check",
        f"✗ PAYMESH_DATABASE_URL {ENCODE}",
        {"PAYMESH_DATABASE_URL": f"postgresql://u:{SECRET} home@host/d"},
    ),
    "target": Case(
        "trade_svc serve",
        "PAYMESH_PAY_TARGET is 'pay': it must be host:port or dns:///name:port, and a port is 1 "
        "to 65535",
        {"PAYMESH_PAY_TARGET": "pay"},
    ),
    "sandbox URL": Case(
        "gateway_svc work",
        "PAYMESH_SANDBOX_URL is no URL such as http://host:8080",
        {"PAYMESH_SANDBOX_URL": "sandbox:7080"},
    ),
    "callback URL": Case(
        "gateway_svc serve",
        "PAYMESH_CALLBACK_BASE_URL is no URL such as http://host:8080",
        {"PAYMESH_CALLBACK_BASE_URL": "ftp://host"},
    ),
    "sandbox without keys": Case(
        "gateway_svc serve",
        "PAYMESH_SANDBOX_URL is set, so PAYMESH_SANDBOX_PUBLIC_KEY_FILE and "
        "PAYMESH_SANDBOX_MERCHANT_KEY_FILE must be set too",
        {"PAYMESH_SANDBOX_URL": "http://127.0.0.1:1"},
    ),
    "missing key": Case(
        "pay_svc serve",
        "PAYMESH_SECRET_KEY_FILE names '{folder}/gone': there is no such file or folder",
        {"PAYMESH_SECRET_KEY_FILE": "{folder}/gone"},
    ),
    "garbage key": Case(
        "gateway_svc serve",
        "PAYMESH_SANDBOX_PUBLIC_KEY_FILE names '{folder}/garbage.pem', which is no PEM of a public "
        "RSA key of 2048 bits or more",
        {"PAYMESH_SANDBOX_PUBLIC_KEY_FILE": "{folder}/garbage.pem"},
    ),
    "config is a file": Case(
        "clearing_svc serve",
        "PAYMESH_LEDGER_CONFIG names '{folder}/file', which is no folder",
        {"PAYMESH_LEDGER_CONFIG": "{folder}/file"},
    ),
    "config is empty": Case(
        "clearing_svc serve",
        "PAYMESH_LEDGER_CONFIG cannot be used: {folder}/chart.yaml: [Errno 2] No such file or "
        "directory: '{folder}/chart.yaml'",
        {"PAYMESH_LEDGER_CONFIG": "{folder}"},
    ),
    "ready nowhere": Case(
        "trade_svc serve",
        "PAYMESH_READY_FILE names '{folder}/gone/ready': no file can be written there",
        {"PAYMESH_READY_FILE": "{folder}/gone/ready"},
    ),
    "not at once": Case(
        "trade_svc work",
        "PAYMESH_BOOKED_BEFORE_PAID is wrong: WITHDRAWAL cannot be booked before it is paid; "
        "INSTANT, TOP_UP, TRANSFER can",
        {"PAYMESH_BOOKED_BEFORE_PAID": "WITHDRAWAL"},
    ),
    "two at once": Case(
        "trade_svc work",
        "PAYMESH_TRACES is 'all': input should be 'none', 'otlp' or 'console'\n"
        "PAYMESH_DATABASE_POOL is '0': input should be greater than or equal to 1",
        {"PAYMESH_DATABASE_POOL": "0", "PAYMESH_TRACES": "all"},
    ),
    "no broker there": Case(
        "trade_svc work",
        "no RabbitMQ at 127.0.0.1:1 vhost /: ",
    ),
    "no database there": Case(
        "trade_svc migrate",
        "the database of trade does not answer, or not us: ",
        {"PAYMESH_TRADE_OWNER_URL": f"postgresql://u:{SECRET}@127.0.0.1:1/d"},
    ),
    "up": Case(
        "paymesh_ops.cli.main up",
        "✗ PAYMESH_DATABASE_POOL is '-1': input should be greater than or equal to 1",
        {"PAYMESH_DATABASE_POOL": "-1"},
    ),
    "demo in a file": Case(
        "paymesh_ops.cli.main demo",
        "✗ {folder}/file is no folder. Set PAYMESH_HOME to a folder that you may write",
        {"PAYMESH_HOME": "{folder}/file"},
    ),
    "up below a file": Case(
        "paymesh_ops.cli.main up",
        "✗ {folder}/file/home cannot be made: Not a directory. Set PAYMESH_HOME to a folder that "
        "you may write",
        {"PAYMESH_HOME": "{folder}/file/home"},
    ),
    "topology": Case(
        "paymesh_ops.cli.main topology verify",
        "✗ PAYMESH_AMPQ_URL is no setting: did you mean PAYMESH_AMQP_URL?",
        {"PAYMESH_AMPQ_URL": "amqp://host"},
    ),
    "supervisor": Case(
        "paymesh_ops.launch.supervisor {folder} ticket",
        "PAYMESH_HOMES is no setting: did you mean PAYMESH_HOME?",
        {"PAYMESH_HOMES": "/"},
    ),
    "sandbox": Case(
        "paymesh_ops.sandbox --book {folder}/home --key {folder}/key --merchant-key {folder}/key",
        "the sandbox cannot start: PAYMESH_SANDBOX is no setting: did you mean "
        "PAYMESH_SANDBOX_URL?",
        {"PAYMESH_SANDBOX": "1"},
    ),
    "sandbox without a key": Case(
        "paymesh_ops.sandbox --book {folder}/home --key {folder}/gone --merchant-key {folder}/key",
        "the sandbox cannot start: [Errno 2] No such file or directory: '{folder}/gone'",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All cases, each a process; with what lies in its folder after it."""
    ours = {name for name in os.environ if name.startswith("PAYMESH_")}
    plain = {name: value for name, value in os.environ.items() if name not in ours}
    told, folders = [], {}
    for name, case in CASES.items():
        folder = folders[name] = tmp_path_factory.mktemp("case")
        for file, content in FILES.items():
            (folder / file).write_bytes(content)
        env = {k: v.format(folder=folder) for k, v in {**RIGHT, **case.env}.items() if v != "-"}
        argv = case.command.format(folder=folder).split()
        told.append({"argv": argv, "env": {**plain, **env}})
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.forking"],
        input=json.dumps(told), env={**plain, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = dict(zip(CASES, json.loads(done.stdout), strict=True))
    return {name: {**results[name], "folder": folders[name]} for name in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_a_sentence_and_nothing_is_written(
    name: str, answers: dict[str, Any]
) -> None:
    """Of a real process: exit code 1, this sentence alone, no password in it, no new file."""
    answer = answers[name]
    said, folder = CASES[name].said.format(folder=answer["folder"]), answer["folder"]
    assert answer["code"] == 1, answer["out"]
    if said.endswith(": "):  # the rest is the driver's
        assert answer["out"].startswith(said)
        assert answer["out"].count("\n") == 1
    else:
        assert answer["out"].rstrip("\n") == said
    assert SECRET not in answer["out"]
    left = {path.name for path in folder.iterdir()} - {"supervisor.state"}
    assert left == set(FILES)


def test_one_environment_serves_all_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes what is its own, and minds neither what is another's nor the launcher's."""
    private, public = generate_key_pair()
    for file, content in (("key", bytes(32)), ("private", private), ("public", public)):
        (tmp_path / file).write_bytes(content)
    special = {
        "KEY_FILE": str(tmp_path / "key"), "MERCHANT_KEY_FILE": str(tmp_path / "private"),
        "PUBLIC_KEY_FILE": str(tmp_path / "public"), "READY_FILE": str(tmp_path / "ready"),
        "DATABASE_URL": "postgresql://u:a%40b@h:5432/d", "OWNER_URL": "postgresql://u@h/d",
        "AMQP_URL": "amqp://u:a%40b@h:5672/%2Fv", "_URL": "http://h:8080", "TARGET": "dns:///h:1",
        "LISTEN": "[::]:0", "LOG_LEVEL": "DEBUG", "TRACES": "otlp", "BEFORE_PAID": "TOP_UP",
        "CONFIG": str(ROOT / "clearing_svc" / "ledger"), "HUMAN": "true", "CHANNEL": "true",
        "PRIVATE": "true", "FIRST_DAY": "2026-01-31", "HOME": str(tmp_path), "ROLE": "x",
    }  # fmt: skip
    for name in known_names():
        ends = [end for end in special if name.endswith(end)]
        monkeypatch.setenv(name, special[max(ends, key=len)] if ends else "1")
    for service in SERVICES:
        assert read(settings_of(service)).database_pool == 1
    monkeypatch.setenv("PAYMESH_GATEWAY_DATABASE_POOL", "1")
    with pytest.raises(SettingsWrong, match="PAYMESH_GATEWAY_DATABASE_POOL is no setting"):
        read(settings_of("trade"))
