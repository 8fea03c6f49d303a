"""Flag, environment, file, default: in this order, and with errors that say where."""

import ipaddress
from pathlib import Path

import pytest

from pirate.config import LONGEST, SETTINGS, Settings, duration, holders, load
from pirate.errors import UsageError
from pirate.model import Address


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    """Give the folder that stands for ~/.config."""
    (tmp_path / "pirate").mkdir()
    return tmp_path


def read(home: Path, *, file: str = "", flags: object = None, **environ: str) -> Settings:
    """Load with this text in config.toml; ``flags`` is a mapping."""
    if file:
        (home / "pirate" / "config.toml").write_text(file, encoding="utf-8")
    assert flags is None or isinstance(flags, dict)
    return load(flags or {}, {"XDG_CONFIG_HOME": str(home)} | environ, None)


def test_the_default_is_used_when_nobody_says_anything(home: Path) -> None:
    settings = read(home)
    assert settings.rescan is None
    assert settings.listen == Address("::", 7070)
    assert settings.etcd == ()
    assert settings.timeout is None


def test_flag_beats_environment_beats_file_beats_default(home: Path) -> None:
    file = 'rescan = "1m"'
    assert read(home, file=file).rescan == 60.0
    assert read(home, file=file, PIRATE_RESCAN="2m").rescan == 120.0
    flags = {"rescan": "3m"}
    assert read(home, file=file, flags=flags, PIRATE_RESCAN="2m").rescan == 180.0


# What a file and a variable may say, and what it then is.
GOOD = {
    "etcd": ("etcd1", (Address("etcd1", 2379),)),
    "etcd_ca": ("ca.pem", "ca.pem"),
    "etcd_cert": ("peer.pem", "peer.pem"),
    "etcd_key": ("peer.key", "peer.key"),
    "etcd_user": ("pirate", "pirate"),
    "etcd_password": ("secret", "secret"),
    "peers": ("10.0.0.7", (Address("10.0.0.7", 7070),)),
    "networks": ("203.0.113.7/24", (ipaddress.ip_network("203.0.113.0/24"),)),
    "discovery": ("etcd", "etcd"),
    "state": ("/var/lib/pirate", "/var/lib/pirate"),
    "interfaces": ("127.0.0.1", ("127.0.0.1",)),
    "timeout": ("90s", 90.0),
    "connect_timeout": ("500ms", 0.5),
    "stall_timeout": ("1m", 60.0),
    "color": ("never", "never"),
    "progress": ("plain", "plain"),
    "folders": ("/srv/a, b", ("/srv/a, b",)),
    "include": ("*.iso", ("*.iso",)),
    "exclude": ("node_modules/", ("node_modules/",)),
    "hidden": ("yes", True),
    "listen": (":7171", Address("::", 7171)),
    "advertise": ("10.0.0.1", Address("10.0.0.1", 0)),
    "name": ("n1", "n1"),
    "port_file": ("/run/port", "/run/port"),
    "rescan": ("100ms", 0.1),
    "watch": ("no", False),
    "ttl": ("1s", 1.0),
    "drain": ("0", 0.0),
    "limit_up": ("64K", 64 * 1024),
    "limit_down": ("1.5M", 1536 * 1024),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_can_come_from_all_three(home: Path, name: str) -> None:
    raw, value = GOOD[name]
    many = SETTINGS[name].many
    assert getattr(read(home, flags={name: [raw] if many else raw}), name) == value
    assert getattr(read(home, **{f"PIRATE_{name.upper()}": raw}), name) == value
    assert getattr(read(home, file=f'{name} = "{raw}"'), name) == value


def test_folders_of_the_file_and_the_environment_count_if_no_dir_is_given(home: Path) -> None:
    """The command line gives an empty list then, not nothing."""
    file = 'folders = ["/a", "/b"]'
    assert read(home, file=file, flags={"folders": []}).folders == ("/a", "/b")
    assert read(home, flags={"folders": []}, PIRATE_FOLDERS="/c").folders == ("/c",)
    assert read(home, file=file, flags={"folders": ["/d"]}).folders == ("/d",)


def test_several_addresses_come_with_commas_with_flags_and_as_a_list(home: Path) -> None:
    both = (Address("a", 1), Address("b", 2))
    assert read(home, flags={"peers": ["a:1,b:2"]}).peers == both
    assert read(home, flags={"peers": ["a:1", "b:2"]}).peers == both
    assert read(home, PIRATE_PEERS="a:1, b:2,").peers == both
    assert read(home, file='peers = ["a:1", "b:2"]').peers == both


def test_patterns_come_with_commas_with_flags_and_as_a_list(home: Path) -> None:
    for read_so in (
        read(home, flags={"exclude": ["*.tmp,", "cache/"]}),
        read(home, PIRATE_EXCLUDE="*.tmp, cache/"),
        read(home, file='exclude = ["*.tmp", "cache/"]'),
    ):
        assert read_so.exclude == ("*.tmp", "cache/")


@pytest.mark.parametrize("raw", ["!*.iso", "[a,b]", "a[", "/", "a//b", "../a", "./a", "a/.."])
def test_a_pattern_that_could_not_match_is_a_usage_error(home: Path, raw: str) -> None:
    with pytest.raises(UsageError, match=r"PIRATE_EXCLUDE: "):
        read(home, PIRATE_EXCLUDE=raw)


def test_hidden_is_yes_or_no(home: Path) -> None:
    assert not read(home).hidden
    assert read(home, flags={"hidden": True}, PIRATE_HIDDEN="no").hidden
    assert read(home, file="hidden = true").hidden
    assert not read(home, file="hidden = true", PIRATE_HIDDEN="0").hidden
    with pytest.raises(UsageError, match="PIRATE_HIDDEN: 'perhaps' is neither yes nor no"):
        read(home, PIRATE_HIDDEN="perhaps")


def test_an_empty_variable_is_none(home: Path) -> None:
    assert read(home, PIRATE_TIMEOUT="").timeout is None


def test_keys_of_the_file_may_be_written_with_dashes(home: Path) -> None:
    assert read(home, file='stall-timeout = "5s"').stall_timeout == 5.0


def test_numbers_of_the_file_need_no_quotes(home: Path) -> None:
    assert read(home, file="rescan = 60\ndrain = 0.5").rescan == 60.0


def test_only_the_first_file_that_exists_is_read(home: Path, tmp_path: Path) -> None:
    (tmp_path / "named.toml").write_text('rescan = "2m"')
    (home / "pirate" / "config.toml").write_text('rescan = "1m"\nname = "n"')
    environ = {"XDG_CONFIG_HOME": str(home)}
    assert load({}, environ, str(tmp_path / "named.toml")).rescan == 120.0
    assert load({}, environ, str(tmp_path / "named.toml")).name is None
    by_variable = environ | {"PIRATE_CONFIG": str(tmp_path / "named.toml")}
    assert load({}, by_variable, None).rescan == 120.0


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("rescan = ", "config.toml: "),
        ('rescan = "soon"', "config.toml: rescan: 'soon' is not a duration"),
        ('resacn = "1m"', "config.toml: 'resacn' is no setting"),
        ('peers = ["a:b"]', "config.toml: peers: 'a:b': 'b' is not a port number"),
        ("a = " + "[" * 10_000, "config.toml: "),
        ("x = \udcff", "config.toml: "),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(home: Path, file: str, says: str) -> None:
    path = home / "pirate" / "config.toml"
    path.write_bytes(file.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as error:
        read(home)
    assert says in str(error.value)


def test_a_named_file_that_is_not_there_is_an_error_and_a_usual_one_is_not(home: Path) -> None:
    read(home / "nowhere")
    with pytest.raises(UsageError, match="nowhere: no such file"):
        load({}, {}, str(home / "nowhere"))
    with pytest.raises(UsageError, match="directory"):
        load({}, {}, str(home))


@pytest.mark.parametrize(
    ("where", "flags", "environ"),
    [
        ("--rescan: ", {"rescan": "x"}, {}),
        ("--peer: ", {"peers": ["x:y"]}, {}),
        ("--connect-timeout: ", {"connect_timeout": "-1s"}, {}),
        ("PIRATE_RESCAN: ", {}, {"PIRATE_RESCAN": "x"}),
        ("PIRATE_ETCD: ", {}, {"PIRATE_ETCD": "http://h:1"}),
    ],
)
def test_a_wrong_value_is_an_error_that_says_where_it_stood(
    home: Path, where: str, flags: dict[str, object], environ: dict[str, str]
) -> None:
    with pytest.raises(UsageError) as error:
        read(home, flags=flags, **environ)
    assert str(error.value).startswith(where)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("2m", 120), ("1h", 3600), ("7", 7), ("0.5", 0.5), (" 1s ", 1)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1d", "1 s", "1e3", "inf", "nan", "0x1", "1.s", "\u0661s", "500.1h"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is too long"):
        duration(text)


def test_the_longest_duration_can_be_waited_for_by_a_socket() -> None:
    assert duration("500h") == LONGEST < (2**31 - 1) / 1000


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[::1]:0", Address("::1", 0)),
        ("[::]:7070", Address("::", 7070)),
        ("[fe80::1]", Address("fe80::1", 7070)),
        (":0", Address("::", 0)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("localhost", Address("localhost", 7070)),
    ],
)
def test_addresses_to_listen_on(home: Path, text: str, address: Address) -> None:
    assert read(home, flags={"listen": text}).listen == address


@pytest.mark.parametrize("text", ["7070", "::1", "::1:7070", "h:-1", "h:99999", "h:", "[::1]x:1"])
def test_what_is_no_address_to_listen_on(home: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--listen: "):
        read(home, flags={"listen": text})


@pytest.mark.parametrize("text", ["", ":7070", "h:0", "a:b:1"])
def test_what_is_no_peer(home: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--peer: "):
        read(home, flags={"peers": [text or ":1"]})


@pytest.mark.parametrize(
    ("text", "rate"), [("65536", 65536), ("500k", 512_000), ("10M", 10 << 20), ("1.5G", 3 << 29)]
)
def test_rates(home: Path, text: str, rate: int) -> None:
    assert read(home, flags={"limit_up": text}).limit_up == rate


@pytest.mark.parametrize("text", ["", "-1", "10MB", "10 M", "1e9", "fast", "M", 400 * "9"])
def test_what_is_no_rate(home: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"--limit-down: .* is not a size"):
        read(home, flags={"limit_down": text})


def test_a_rate_that_others_would_take_for_a_stall_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="--limit-up: 63K is too slow, 64K a second is the least"):
        read(home, flags={"limit_up": "63K"})


def test_how_many_holders() -> None:
    assert (holders("1"), holders("64")) == (1, 64)
    for text in ("0", "65", "-1", "1.0", "", "\u0661", 5000 * "9"):
        with pytest.raises(ValueError, match="is not a number from 1 to 64"):
            holders(text)


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({"etcd_cert": "c", "etcd_key": "k"}, "--etcd-ca"),
        ({"etcd_ca": "a", "etcd_cert": "c"}, "--etcd-key"),
        ({"etcd_ca": "a", "etcd_key": "k"}, "--etcd-cert"),
        ({"etcd_user": "u"}, "PIRATE_ETCD_PASSWORD"),
        ({"etcd_password": "p"}, "--etcd-user"),
    ],
)
def test_half_a_way_to_reach_etcd_is_refused(
    home: Path, told: dict[str, str], missing: str
) -> None:
    variables = {f"PIRATE_{name.upper()}": value for name, value in told.items()}
    with pytest.raises(UsageError, match=f"needs .*{missing}"):
        assert read(home, **variables).access


def test_the_password_is_not_in_what_is_printed_of_settings(home: Path) -> None:
    settings = read(home, PIRATE_ETCD_USER="u", PIRATE_ETCD_PASSWORD="hush")
    assert settings.access.password == "hush"
    assert "hush" not in repr(settings) + repr(settings.access)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/anne"}, "/home/anne/.local/state/pirate"),
        ({"HOME": "/home/anne", "XDG_STATE_HOME": "/state"}, "/state/pirate"),
        ({"HOME": "/home/anne", "XDG_STATE_HOME": "state"}, "/home/anne/.local/state/pirate"),
        ({"HOME": "/home/anne", "PIRATE_STATE": "state"}, "state"),
        ({"HOME": ""}, ""),
        ({}, ""),
    ],
)
def test_the_state_folder_is_below_the_home_if_there_is_one(
    home: Path, environ: dict[str, str], folder: str
) -> None:
    assert read(home, **environ).state == folder
    assert read(home, flags={"state": ""}, **environ).state == ""
