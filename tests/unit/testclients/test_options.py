import pytest

from testclients.options import EXIT_USAGE, Mode, Options, parse

LOGIN = ["--user", "alice", "--password", "password123"]


def parsed(*argv: str, terminal: bool = False) -> Options:
    return parse([*LOGIN, *argv], {}, terminal)


def test_the_chat_socket_is_on_the_server_s_host() -> None:
    assert parsed("--wait", "1").chat_url == "ws://127.0.0.1:4000/"
    assert (
        parsed("--wait", "1", "--server", "https://chat.example:8443/x").chat_url
        == "wss://chat.example:4000/"
    )
    assert parsed("--wait", "1", "--server", "http://[::1]:3000").chat_url == "ws://[::1]:4000/"
    assert parsed("--wait", "1", "--chat-url", "ws://other:1/").chat_url == "ws://other:1/"


@pytest.mark.parametrize(
    ("argv", "terminal", "mode"),
    [
        ([], True, Mode.INTERACTIVE),
        (["--to", "bob"], True, Mode.INTERACTIVE),
        (["--group", "demo"], False, Mode.LINES),
        (["--to", "bob", "--send", "hi"], False, Mode.FLAGS),
        (["--to", "bob", "--send", "hi"], True, Mode.FLAGS),
        (["--to", "bob", "--send", ""], True, Mode.FLAGS),
        (["--wait", "0"], True, Mode.FLAGS),
        (["--until", "3"], False, Mode.FLAGS),
    ],
)
def test_the_mode_follows_from_flags_and_standard_input(
    argv: list[str], terminal: bool, mode: Mode
) -> None:
    assert parsed(*argv, terminal=terminal).mode is mode


def test_values_are_taken_over() -> None:
    options = parsed(
        "--group", "demo", "--send", "hi", "--wait", "1.5", "--until", "2", "--json", "--register"
    )
    assert (options.user, options.password) == ("alice", "password123")
    assert (options.to, options.group, options.send) == (None, "demo", "hi")
    assert (options.wait_seconds, options.until) == (1.5, 2)
    assert options.json and options.register


def test_the_password_may_come_from_the_environment() -> None:
    environment = {"CHATD_PASSWORD": "from-there"}
    assert parse(["--user", "alice", "--wait", "1"], environment, False).password == "from-there"
    assert parse([*LOGIN, "--wait", "1"], environment, False).password == "password123"


def test_on_a_terminal_name_and_password_may_be_left_open() -> None:
    options = parse([], {}, True)
    assert (options.user, options.password) == (None, None)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--password", "x", "--wait", "1"], "--user is needed"),
        (["--user", "alice", "--wait", "1"], "CHATD_PASSWORD"),
        ([*LOGIN, "--send", "hi"], "--send needs"),
        ([*LOGIN], "standard input"),
        ([*LOGIN, "--to", "bob", "--group", "demo"], "not allowed with"),
        ([*LOGIN, "--wait", "soon"], "no number of seconds"),
        ([*LOGIN, "--wait", "-1"], "no number of seconds"),
        ([*LOGIN, "--wait", "nan"], "no number of seconds"),
        ([*LOGIN, "--wait", "inf"], "no number of seconds"),
        ([*LOGIN, "--until", "0"], "no number above 0"),
        ([*LOGIN, "--until", "two"], "no number above 0"),
        ([*LOGIN, "--wait", "1", "--server", "127.0.0.1:3000"], "no http://"),
        ([*LOGIN, "--wait", "1", "--server", "ws://127.0.0.1:3000"], "no http://"),
        ([*LOGIN, "--wait", "1", "--server", "http://"], "no http://"),
        ([*LOGIN, "--wait", "1", "--server", "http://host:99999"], "no http://"),
        ([*LOGIN, "--wait", "1", "--server", "http://[::1"], "no http://"),
        ([*LOGIN, "--wait", "1", "--chat-url", "http://host/"], "no ws://"),
        ([*LOGIN, "--frobnicate"], "unrecognized"),
    ],
)
def test_bad_usage_is_told_and_ends_with_2(
    argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(argv, {}, False)
    assert caught.value.code == EXIT_USAGE
    assert complaint in capsys.readouterr().err
