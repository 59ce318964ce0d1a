"""What `docs/deploy/` says is what its tools accept: systemd, Docker, Kubernetes and the command line."""

import configparser
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from typer.testing import CliRunner

from gossipfl import __version__
from gossipfl.cli.app import app
from gossipfl.cli.commands import catalogue, certs, dashboard, directories, peer, run, status, stop
from gossipfl.deploy.addresses import addresses
from gossipfl.engines.http.status import NeighborStatus, PeerStatus
from gossipfl.engines.http.trust.certificates import create_authority, issue
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.engines.http.watch import STATES, _PeerCollector
from gossipfl.engines.http.wire.refusals import REASONS
from gossipfl.errors import ConfigurationError
from gossipfl.names import resources
from gossipfl.scenario import load_scenario

CHECKOUT = Path(__file__).parents[2]
DEPLOY = CHECKOUT / "docs" / "deploy"
README = (DEPLOY / "README.md").read_text("utf-8")
UNIT = (DEPLOY / "gossipfl-peer@.service").read_text("utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
MANIFESTS = [*yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))]
COLLECT = yaml.safe_load((DEPLOY / "collect.yaml").read_text("utf-8"))

IMAGE = f"gossipfl:{__version__}"
SCENARIO = "/etc/gossipfl/scenario.toml"
"""Where a peer reads its scenario, in a pod and under systemd."""


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [one for one in MANIFESTS if one["kind"] == kind]
    return found


STATEFUL_SET = manifest("StatefulSet")
POD = STATEFUL_SET["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
POD_NAMES = [f"{STATEFUL_SET['metadata']['name']}-{i}" for i in range(STATEFUL_SET["spec"]["replicas"])]
POD_SCENARIO = manifest("ConfigMap")["data"]["scenario.toml"]


# Commands


def shell_commands(markdown: str) -> Iterator[list[str]]:
    """The words of each line in the sh blocks."""
    for block in re.findall(r"```sh\n(.*?)```", markdown, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line, comments=True)


def arguments_of(words: list[str]) -> list[str] | None:
    """What gossipfl is given: as it is, in a container, in a pod; None in other commands."""
    if words[:1] == ["docker"] and words[1] in ("run", "exec"):
        words = words[min(words.index(name) for name in (IMAGE, "gossipfl") if name in words) :]
        return words[1:]
    if words[:1] == ["kubectl"] and "--" in words:
        words = words[words.index("--") + 1 :]
    return words[1:] if words and Path(words[0]).name == "gossipfl" else None


def command_of_the_unit() -> list[str]:
    """As systemd expands it for the peer amsterdam."""
    (watch,) = re.findall(r"^Environment=WATCH=(\S+)$", UNIT, re.MULTILINE)
    (command,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    values = {"%i": "amsterdam", "%d": "/run/credentials", "%S": "/var/lib", "${WATCH}": watch, "$OPTIONS": ""}
    for written, value in values.items():
        command = command.replace(written, value)
    return shlex.split(command)


def commands_in_scenarios() -> Iterator[list[str]]:
    for name in ("four_terminals", "four_hosts"):
        text = (resources.folder("simulations") / f"{name}.toml").read_text("utf-8")
        for line in re.findall(r"^#     (gossipfl .*?)(?:   .*)?$", text, re.MULTILINE):
            yield shlex.split(line)


def all_commands() -> Iterator[list[str]]:
    for words in (*shell_commands(README), command_of_the_unit(), *commands_in_scenarios()):
        arguments = arguments_of(words)
        if arguments is not None:
            yield [word.replace(SCENARIO, "scenario.toml") for word in arguments]
    for name in POD_NAMES:
        yield [word.replace(SCENARIO, "pods.toml").replace("$(POD_NAME)", name) for word in CONTAINER["args"]]


COMMANDS = {shlex.join(arguments): arguments for arguments in all_commands()}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[str]], tuple[str, tuple[Any, ...]]]:
    """Gives the function that a command line would call, and with what, in a directory with the files that the README
    makes."""
    monkeypatch.chdir(tmp_path)
    for file in ("scenario.toml", "four_hosts.toml"):
        shutil.copy(resources.folder("simulations") / "four_hosts.toml", file)
    shutil.copy(resources.folder("topologies") / "four-hosts.toml", "hosts.toml")
    Path("pods.toml").write_text(POD_SCENARIO)
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def noting(name: str) -> Callable[..., None]:
        return lambda *arguments: calls.append((name, arguments))

    for module in (catalogue, certs, dashboard, directories, peer, run, status, stop):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                monkeypatch.setattr(module, name, noting(name))

    def called_by(arguments: list[str]) -> tuple[str, tuple[Any, ...]]:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        (called,) = calls
        return called

    return called_by


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_knows_the_command(command, call):
    match call(COMMANDS[command]):
        case "run_one_peer", (file, overrides, _, options, *_):
            scenario = load_scenario(file, overrides)
            chosen = options("", scenario)  # what is wrong with --listen, --address and --watch shows here
            network = scenario.graph(scenario.section(chosen.algorithm))
            assert chosen.name in network
            assert set(chosen.addresses) <= {chosen.name, *network.neighbors(chosen.name)}
        case "run_scenario", (options,):
            load_scenario(options.scenario, options.overrides)
        case "show_scenario", (file, overrides):
            load_scenario(file, overrides)
        case "show_topology", (file, _):
            assert Path(file).is_file()


def test_the_commands_are_found():
    """Else the test above would pass on nothing."""
    assert {"launch", "peer", "status", "gather", "export", "certs"} <= {words[0] for words in COMMANDS.values()}
    assert {*POD_NAMES} <= {word.removeprefix("--name=") for words in COMMANDS.values() for word in words}
    assert any(words[0] == "peer" and "--behind-proxy" in words for words in COMMANDS.values())


# README


def test_links_and_paths_lead_to_something():
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link[1:] in anchors if link.startswith("#") else (DEPLOY / link.partition("#")[0]).exists(), link
    words = {word for line in shell_commands(README) for word in line} | set(re.findall(r"`([^`\s]+)`", README))
    named = {word for word in words if re.match(r"(simulations|topologies|docs)/", word)}
    assert len(named) >= 5
    for path in named:
        assert (CHECKOUT / path).exists(), path
    for name in re.findall(r"`([\w-]+\.yaml)`", README):
        assert (DEPLOY / name).exists(), name


def families_of_a_peer() -> list[Metric]:
    """All that a peer may say at /metrics."""
    neighbor = NeighborStatus("b", "reachable", 1.0, 1, 1, 1, 0, 0, {"other_run": 1})
    values = {"seconds": 1.0, "loss": 1.0, "metrics": {"accuracy": 1.0}, "training": {"loss": 1.0, "accuracy": 1.0}}
    counts = {"round": 1, "rounds": 2, "incarnation": 1, "own_loss": 1.0, "sent": 1, "received": 1, "num_messages": 1}
    counts |= {"num_open": 0, "rounds_done": 1, "examples_seen": 9, "agreed": {"mean_accuracy": 1.0}}
    told = {"peer": "a", "run": "r", "state": "waiting", "awaits": ("b",), "refusals": {}}
    status = PeerStatus(neighbors=(neighbor,), **told, **values, **counts)
    return [*_PeerCollector(lambda: status).collect()]


def names_of(families: list[Metric]) -> set[str]:
    return {family.name + "_total" * (family.type == "counter") for family in families}


def test_metrics_are_those_of_a_peer():
    there = names_of(families_of_a_peer())
    (section,) = re.findall(r"## What to watch\n(.*?)\n## ", README, re.DOTALL)
    named = set(re.findall(r"gossipfl_\w+", section))
    assert len(named) >= 10
    assert named <= there
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    states_and_reasons = set(re.findall(r"`(\w+)`", re.sub(r"`gossipfl_.*?`", "", table)))
    assert states_and_reasons <= {*STATES, *REASONS}


def queries_of_the_board() -> list[str]:
    board = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))
    variables = [variable["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]] + variables


ALERTS = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text("utf-8"))["groups"] for rule in group["rules"]
]


def test_the_board_and_the_alerts_ask_for_what_there_is():
    """Every metric, every label and every value of a label that is spelled out."""
    families = families_of_a_peer()
    labels = {label for family in families for sample in family.samples for label in sample.labels} | {
        "job",
        "instance",
    }
    named: set[str] = set()
    for query in [*queries_of_the_board(), *(rule["expr"] for rule in ALERTS)]:
        named |= set(re.findall(r"\b(?:gossipfl_\w+|up)\b", re.sub(r"\{.*?\}", "", query)))
        matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"(.*?)\"", query)
        grouped = [name for names in re.findall(r"(?:by|on) \(([^)]*)\)", query) for name in names.split(", ")]
        assert {*grouped, *(name for name, _ in matched)} <= labels, query
        for name, value in matched:
            known = {"state": STATES, "reason": REASONS}.get(name)
            assert known is None or {*value.split("|")} <= {*known}, query
        assert query.count("(") == query.count(")"), query
    assert named - {"up"} <= names_of(families)
    assert {"gossipfl_round", "gossipfl_neighbor_awaited", "gossipfl_refused_total", "up"} <= named
    texts = [str(rule["annotations"]) for rule in ALERTS] + re.findall(
        r"\{\{\w+\}\}", (DEPLOY / "grafana.json").read_text()
    )
    assert {name for text in texts for name in re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", text)} <= labels


def test_the_board_and_the_alerts_are_whole():
    board = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) >= 10
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for one in places
        for x in range(one["x"], one["x"] + one["w"])
        for y in range(one["y"], one["y"] + one["h"])
    ]
    assert len(cells) == len({*cells}), "panels do not cover each other"
    assert max(x for x, _ in cells) < 24, "a board has 24 columns"
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS) >= 6
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} <= rule["annotations"].keys()
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


def test_all_name_the_same_image():
    for text in (README, DOCKERFILE):
        assert set(re.findall(r"gossipfl:\d[\w.]*", text)) == {IMAGE}
    assert CONTAINER["image"] == COLLECT["spec"]["containers"][0]["image"] == IMAGE


# systemd


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    return parser


def test_the_unit_runs_a_hardened_peer_that_goes_on():
    service = unit()["Service"]
    for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateDevices", "LockPersonality"):
        assert service[key] == "yes", key
    assert service["ProtectSystem"] == "strict"
    assert (service["KillSignal"], service["Restart"]) == ("SIGTERM", "on-failure")
    arguments = command_of_the_unit()
    assert "--resume" in arguments
    assert arguments[arguments.index("--run-directory") + 1] == "/var/lib/gossipfl/amsterdam"
    assert service["StateDirectory"] == "gossipfl/%i"


def test_the_unit_passes_on_the_three_files_of_a_peer():
    credentials = dict(re.findall(r"^LoadCredential=([^:\n]+):(.+)$", UNIT, re.MULTILINE))
    assert credentials == {name: f"/etc/gossipfl/certs/{name}" for name in ("ca.pem", "%i.pem", "%i.key")}


def test_systemd_accepts_the_unit(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "gossipfl-peer@.service"
    file.write_text(UNIT.replace("/opt/gossipfl/venv/bin/gossipfl", sys.executable))

    result = subprocess.run([analyze, "verify", str(file)], capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr
    assert file.stem not in result.stderr


# Container


def test_the_image_is_made_of_files_that_are_there_and_pass_the_ignore_file():
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    passed = {line[1:].removesuffix("/*.toml") for line in ignored if line.startswith("!")}
    directives = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    copied = [source for directive in directives for source in directive.split()]
    assert {*copied} == passed
    for source in copied:
        assert (CHECKOUT / source).exists(), source
    assert "*" in ignored
    assert {"**/*.key", "**/*.pem"} <= {*ignored[ignored.index("!topologies") :]}, "what comes last counts"


def test_the_image_runs_gossipfl_and_not_as_root():
    directives = dict(re.findall(r"^(USER|ENTRYPOINT|CMD|STOPSIGNAL) (.*)$", DOCKERFILE, re.MULTILINE))
    user = POD["securityContext"]["runAsUser"]
    assert directives["USER"] == f"{user}:{POD['securityContext']['runAsGroup']}"
    assert directives["ENTRYPOINT"] == '["gossipfl"]'
    assert CliRunner().invoke(app, yaml.safe_load(directives["CMD"])).exit_code == 0


# Kubernetes


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
@pytest.mark.parametrize("document", [*MANIFESTS, COLLECT], ids=lambda document: document["kind"])
def test_the_manifest_is_valid(document, version):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(document, version, strict=True)


def test_pods_are_the_peers_of_their_scenario(tmp_path):
    (tmp_path / "scenario.toml").write_text(POD_SCENARIO)
    scenario = load_scenario(tmp_path / "scenario.toml")
    network = scenario.graph()
    service = STATEFUL_SET["spec"]["serviceName"]
    (port,) = [port["containerPort"] for port in CONTAINER["ports"] if port["name"] == "peers"]

    assert list(network) == POD_NAMES
    assert addresses(scenario, network) == {name: f"https://{name}.{service}:{port}" for name in POD_NAMES}


def test_the_service_and_the_policy_are_those_of_the_pods():
    labels = STATEFUL_SET["spec"]["template"]["metadata"]["labels"]
    service, policy = manifest("Service"), manifest("NetworkPolicy")["spec"]
    assert service["metadata"]["name"] == STATEFUL_SET["spec"]["serviceName"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    selectors = [
        STATEFUL_SET["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        policy["podSelector"]["matchLabels"],
        policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"],
        manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    assert selectors == [labels] * len(selectors)
    assert len(policy["ingress"]) == 1
    assert {one["metadata"].get("namespace") for one in MANIFESTS if one["kind"] != "Namespace"} == {"gossipfl"}


def test_everything_that_is_mounted_is_there():
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    claims = [claim["metadata"]["name"] for claim in STATEFUL_SET["spec"]["volumeClaimTemplates"]]
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {*volumes, *claims}
    assert volumes["scenario"]["configMap"]["name"] == manifest("ConfigMap")["metadata"]["name"]
    assert COLLECT["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == f"{claims[0]}-{POD_NAMES[0]}"
    secret = volumes["certs"]["secret"]
    created = next(words for words in shell_commands(README) if words[3:6] == ["create", "secret", "generic"])
    assert created[6] == secret["secretName"]
    files = {word.removeprefix("--from-file=certs/") for word in created[7:]}
    assert files == {item["key"] for item in secret["items"]}
    assert "ca.key" not in files


def test_a_pod_is_confined():
    for pod in (POD, COLLECT["spec"]):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    assert "--watch=127.0.0.1:9100" in CONTAINER["args"]


@pytest.fixture
def user_of_the_pods() -> Iterator[None]:
    """The effective user and group of this process, for a while."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to other users and be one of them")
    groups, context = os.getgroups(), POD["securityContext"]
    os.setgroups([context["fsGroup"]])
    os.setegid(context["runAsGroup"])
    os.seteuid(context["runAsUser"])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture(params=[0, 0o444], ids=["as in the file", "with the default mode"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A Secret as the kubelet mounts it: files in a directory that is named by the time, behind symbolic links; root's,
    with the mode that is asked for, then given to `fsGroup` and made readable for it.

    Gives the directory of the first pod, and the bits that the mode has beyond that.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can give files to other users")
    create_authority(tmp_path / "certs")
    for name in POD_NAMES:
        issue(tmp_path / "certs", name)
    (secret,) = [volume["secret"] for volume in POD["volumes"] if volume["name"] == "certs"]
    group = POD["securityContext"]["fsGroup"]
    with tempfile.TemporaryDirectory() as root:  # unlike tmp_path, below directories that others may enter
        volume = Path(root)
        volume.chmod(0o755)
        for item in secret["items"]:
            path = volume / "..2026_01_01" / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((tmp_path / "certs" / item["key"]).read_bytes())
            os.chown(path, 0, group)
            path.chmod(secret["defaultMode"] | 0o440 | request.param)
        (volume / "..data").symlink_to("..2026_01_01")
        for name in POD_NAMES:
            (volume / name).symlink_to(f"..data/{name}")
        yield volume / POD_NAMES[0], request.param


def test_a_peer_takes_its_key_from_the_secret_unless_others_can_read_it(mounted, user_of_the_pods):
    directory, more = mounted
    if not more:
        assert load_credentials(directory, POD_NAMES[0]).name == POD_NAMES[0]
        return
    with pytest.raises(ConfigurationError, match="has the mode 0444"):
        load_credentials(directory, POD_NAMES[0])
