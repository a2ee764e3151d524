"""The engines and the typed contract on top of them, with a small contract of the tests' own.

Owns nothing of the venue: whatever fails here is the machinery's fault. Tests on a devnet are
skipped, and say so, where anvil is not installed.
"""

from __future__ import annotations

import copy
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import eth_abi
import pytest
import vyper
from eth_abi.exceptions import DecodingError
from web3 import HTTPProvider, LegacyWebSocketProvider, Web3

from breakwater import contract as contracts
from breakwater import words
from breakwater.contract import Contract, ContractError, EventDecoder
from breakwater.engine.base import (
    BATCH,
    GENESIS_TIMESTAMP,
    TX_GAS_LIMIT,
    Engine,
    EngineError,
    Receipt,
    Reverted,
    halt_reason,
    revert_reason,
)
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import RpcEngine, start_anvil

SOURCE = """
# pragma version ~=0.4.3
struct Level:
    price: uint256
    size: int256

struct Page:
    owner: address
    levels: DynArray[Level, 8]

interface Probe:
    def set(amount: uint256): nonpayable
    def amount() -> uint256: view

event Changed:
    who: indexed(address)
    value: uint256
    signed: indexed(int256)
    label: String[16]

event Made:
    page: Page

owner: public(address)
start: public(uint256)
amount: public(uint256)
slots: public(HashMap[uint256, uint256])
times: transient(uint256)

@deploy
def __init__(start: uint256, label: String[16]):
    assert start < 1000, "probe: start too large"
    self.owner = msg.sender
    self.start = start
    log Changed(who=msg.sender, value=start, signed=-1, label=label)

@external
def set(amount: uint256):
    self.amount = amount
    log Changed(who=msg.sender, value=amount, signed=-convert(amount, int256), label="set")
    assert amount < 1000, "probe: amount too large"

@external
def set_both(other: address, amount: uint256):
    log Changed(who=self, value=1, signed=1, label="before")
    extcall Probe(other).set(amount)
    log Changed(who=self, value=2, signed=2, label="after")

@external
def pass_time(since: uint256):
    assert block.timestamp >= since, "probe: too early"
    self.amount = block.timestamp

@external
def count() -> uint256:
    self.times += 1
    return self.times

@external
def fill(n: uint256):
    for i: uint256 in range(n, bound=1_000_000):
        self.slots[i] = i + 1

@external
def bare():
    raise

@external
def unreachable(n: uint256):
    assert n == 0, UNREACHABLE

@external
@view
def less(a: uint256) -> uint256:
    return 10 - a

@external
@view
def clock() -> (uint256, uint256):
    return block.timestamp, block.number

@external
@view
def page(n: uint256) -> Page:
    found: DynArray[Level, 8] = []
    for i: uint256 in range(n, bound=8):
        found.append(Level(price=i + 100, size=-convert(i, int256)))
    return Page(owner=self.owner, levels=found)

@external
@pure
def echo(
    a: int128, b: bool, c: address, d: bytes32, e: String[8], f: DynArray[Level, 4], g: Level
) -> (int128, bool, address, bytes32, String[8], DynArray[Level, 4], Level):
    return a, b, c, d, e, f, g

@external
@pure
def total(values: DynArray[uint256, 64], plus: uint256 = 0) -> uint256:
    result: uint256 = plus
    for v: uint256 in values:
        result += v
    return result

@external
def make():
    log Made(page=Page(owner=self, levels=[Level(price=7, size=-7)]))
"""

_OUTPUT = vyper.compile_code(SOURCE, output_formats=["abi", "bytecode"])
ABI: list[dict[str, Any]] = _OUTPUT["abi"]
CODE = bytes.fromhex(_OUTPUT["bytecode"].removeprefix("0x"))

needs_anvil = pytest.mark.skipif(
    shutil.which("anvil") is None, reason="anvil is not on PATH: npm install @foundry-rs/anvil"
)
BOTH = ["revm", pytest.param("anvil", marks=needs_anvil)]


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest) -> Iterator[RevmEngine | RpcEngine]:
    if request.param == "revm":
        yield RevmEngine()
        return
    with start_anvil() as devnet:
        yield devnet


def make(engine: Engine, decoder: EventDecoder | None = None, label: str = "deployer") -> Contract:
    return contracts.deploy(
        engine, "Probe", ABI, CODE, [5, "hello"], sender=engine.actor(label), decoder=decoder
    )


def code_of_size(size: int) -> bytes:
    """Creation code that deploys `size` zero bytes."""
    return bytes.fromhex(f"61{size:04x}80600a3d393df3") + bytes(size)


def test_engines_satisfy_the_protocol() -> None:
    engine: Engine = RevmEngine()
    assert (engine.name, engine.measures_gas) == ("revm", False)


def test_actor_is_the_same_for_the_same_label(engine: Engine) -> None:
    assert engine.actor("keeper") == engine.actor("keeper") == RevmEngine().actor("keeper")
    assert engine.actor("keeper") != engine.actor("liquidator")


def test_each_transaction_is_a_block_one_second_later(engine: RevmEngine | RpcEngine) -> None:
    probe, keeper = make(engine), engine.actor("keeper")
    receipts = [probe.send("set", n, sender=keeper).receipt for n in range(3)]
    assert [r.timestamp - GENESIS_TIMESTAMP for r in receipts] == [2, 3, 4]
    assert [r.block_number for r in receipts] == [2, 3, 4]
    assert probe.call("clock") == (engine.timestamp, engine.block_number)


def test_wait_moves_the_next_block(engine: Engine) -> None:
    probe, keeper = make(engine), engine.actor("keeper")
    engine.wait(0)
    engine.wait(100)
    engine.wait(20)
    assert probe.call("clock")[0] == engine.timestamp == GENESIS_TIMESTAMP + 1
    assert probe.send("set", 1, sender=keeper).receipt.timestamp == GENESIS_TIMESTAMP + 122
    assert probe.send("set", 1, sender=keeper).receipt.timestamp == GENESIS_TIMESTAMP + 123


@pytest.mark.parametrize("seconds", [-1, 1.5, True])
def test_wait_refuses_what_is_no_duration(seconds: Any) -> None:
    with pytest.raises(ValueError, match="whole number of seconds"):
        RevmEngine().wait(seconds)


REVERTS = [
    ("set", (1000,), "probe: amount too large"),
    ("bare", (), "reverted without a reason"),
    ("unreachable", (1,), "invalid opcode (an unreachable statement was reached)"),
    ("fill", (1_000_000,), f"out of gas (limit {TX_GAS_LIMIT})"),
    ("less", (11,), "reverted without a reason"),
]


@pytest.mark.parametrize(("method", "args", "reason"), REVERTS, ids=[r[0] for r in REVERTS])
def test_reverts_carry_their_reason_and_change_nothing(
    engine: RevmEngine | RpcEngine, method: str, args: tuple[int, ...], reason: str
) -> None:
    probe, keeper = make(engine), engine.actor("keeper")
    probe.send("set", 7, sender=keeper)
    engine.wait(50)
    before = (engine.timestamp, engine.block_number, engine.logs([probe.address]))
    with pytest.raises(Reverted) as called:
        probe.call(method, *args)
    with pytest.raises(Reverted) as sent:
        engine.transact(engine.actor("newcomer"), probe.address, probe.encode(method, *args))
    assert called.value.reason == sent.value.reason == str(sent.value) == reason
    assert before == (engine.timestamp, engine.block_number, engine.logs([probe.address]))
    assert probe.call("amount") == 7
    assert probe.call("slots", 0) == 0
    # The wait is still pending, and the failed sender can go on.
    after = engine.transact(engine.actor("newcomer"), probe.address, probe.encode("set", 8))
    assert after.timestamp == before[0] + 51
    assert after.block_number == before[1] + 1


def test_a_transaction_is_judged_at_its_own_time(engine: Engine) -> None:
    probe, keeper = make(engine), engine.actor("keeper")
    due = engine.timestamp + 61
    with pytest.raises(Reverted, match="probe: too early"):
        probe.send("pass_time", due, sender=keeper)
    engine.wait(60)
    probe.send("pass_time", due, sender=keeper)
    assert probe.call("amount") == due


def test_a_call_leaves_no_effect(engine: RevmEngine | RpcEngine) -> None:
    probe = make(engine)
    number = engine.block_number
    probe.call("set", 9)
    assert (probe.call("amount"), engine.block_number, len(probe.events())) == (0, number, 1)


def test_a_call_sees_its_sender(engine: Engine) -> None:
    probe, keeper = make(engine), engine.actor("keeper")
    assert probe.call("owner", sender=keeper) == engine.actor("deployer")


def test_transient_storage_ends_with_the_transaction(engine: Engine) -> None:
    probe, keeper = make(engine), engine.actor("keeper")
    probe.send("count", sender=keeper)
    probe.send("count", sender=keeper)
    assert probe.call("count") == 1


def test_logs_are_in_order_with_the_contract_that_logged_them(engine: Engine) -> None:
    decoder = EventDecoder()
    keeper = engine.actor("keeper")
    outer, inner = make(engine, decoder), make(engine, decoder, "other")
    tx = outer.send("set_both", inner, 4, sender=keeper)
    assert [(e.index, e.args["label"], e.args["value"]) for e in tx.events] == [
        (0, "before", 1),
        (1, "set", 4),
        (2, "after", 2),
    ]
    assert [log.address for log in tx.receipt.logs] == [
        outer.address,
        inner.address,
        outer.address,
    ]
    assert tx.events[1].args == {"who": outer.address, "value": 4, "signed": -4, "label": "set"}
    every = engine.logs([outer.address, inner.address])
    assert tuple(every[2:]) == tx.receipt.logs
    assert [log.address for log in engine.logs([inner.address])] == [inner.address] * 2
    assert engine.logs([]) == []


def test_snapshots_restore_state_clock_logs_and_addresses(engine: RevmEngine | RpcEngine) -> None:
    probe, keeper = make(engine), engine.actor("keeper")
    engine.wait(10)
    outer = engine.snapshot()
    probe.send("set", 1, sender=keeper)
    before = (engine.timestamp, engine.block_number, probe.call("amount"), len(probe.events()))
    inner = engine.snapshot()
    probe.send("set", 2, sender=keeper)
    with pytest.raises(Reverted):
        probe.send("set", 1000, sender=keeper)
    first = make(engine, label="late").address
    engine.revert(inner)
    assert before == (
        engine.timestamp,
        engine.block_number,
        probe.call("amount"),
        len(probe.events()),
    )
    assert make(engine, label="late").address == first
    spare = engine.snapshot()
    engine.revert(outer)
    assert (probe.call("amount"), engine.block_number) == (0, 1)
    assert probe.send("set", 3, sender=keeper).receipt.timestamp == GENESIS_TIMESTAMP + 12
    for used in (inner, outer, spare, None):
        with pytest.raises(ValueError, match="snapshot"):
            engine.revert(used)


def test_a_snapshot_before_the_first_block(engine: RevmEngine | RpcEngine) -> None:
    snap = engine.snapshot()
    address = make(engine).address
    engine.revert(snap)
    assert engine.timestamp == GENESIS_TIMESTAMP
    assert make(engine).address == address
    assert engine.timestamp == GENESIS_TIMESTAMP + 1


def test_many_snapshots_and_deployments_do_not_wear_revm_out() -> None:
    engine = RevmEngine()
    probe, keeper = make(engine), engine.actor("keeper")
    for n in range(1100):
        snap = engine.snapshot()
        engine.deploy(bytes.fromhex("5f5ff3"), keeper)
        probe.send("set", n % 1000, sender=keeper)
        engine.revert(snap)
        engine.deploy(bytes.fromhex("5f5ff3"), keeper)
    probe.send("set_both", make(engine, label="other"), 1, sender=keeper)


def test_code_size_limits_are_those_of_mainnet(engine: RevmEngine | RpcEngine) -> None:
    deployer = engine.actor("deployer")
    engine.deploy(code_of_size(24_576), deployer)
    number = engine.block_number
    with pytest.raises(Reverted, match="above 24,576 bytes"):
        engine.deploy(code_of_size(24_577), deployer)
    with pytest.raises(Reverted, match="above 49,152 bytes"):
        engine.deploy(bytes(49_153), deployer)
    assert engine.block_number == number


def test_a_failing_constructor_says_why_and_leaves_the_next_address(engine: Engine) -> None:
    deployer = engine.actor("deployer")
    with pytest.raises(Reverted, match="probe: start too large"):
        contracts.deploy(engine, "Probe", ABI, CODE, [1000, "x"], sender=deployer)
    assert make(engine).address == make(RevmEngine()).address


def story(engine: Engine) -> list[Any]:
    """A bit of everything, in an order that exercises clock, nonces and failures."""
    told: list[Any] = []
    deployer, keeper = engine.actor("deployer"), engine.actor("keeper")
    decoder = EventDecoder()
    one = make(engine, decoder)
    receipts: list[Receipt] = []
    for n in range(12):
        engine.wait(n * 7 % 5)
        if n % 4 == 3:
            with pytest.raises(Reverted) as failed:
                one.send("set", 1000 + n, sender=deployer)
            told.append(failed.value.reason)
        receipts.append(one.send("set", n, sender=[deployer, keeper][n % 2]).receipt)
    two = make(engine, decoder)
    snap = engine.snapshot()
    receipts.append(two.send("set_both", one, 3, sender=keeper).receipt)
    told.append(one.call("clock"))
    engine.revert(snap)
    engine.wait(1000)
    receipts.append(one.send("set_both", two, 5, sender=deployer).receipt)
    told += [one.address, two.address, one.call("clock"), two.call("amount")]
    told += [(r.timestamp, r.block_number, r.logs) for r in receipts]
    told += [engine.timestamp, engine.logs([one.address, two.address])]
    told += decoder.decode(engine.logs(decoder.addresses))
    return told


@needs_anvil
def test_both_engines_tell_the_same_story() -> None:
    with start_anvil() as devnet:
        assert story(RevmEngine()) == story(devnet)


@needs_anvil
def test_a_devnet_on_the_wall_clock_is_taken_back_to_genesis() -> None:
    late = GENESIS_TIMESTAMP + 1_000_000_000
    with start_anvil(late) as devnet:
        make(devnet)
        again = RpcEngine(devnet._web3)
        probe = make(again)
        assert again.timestamp == GENESIS_TIMESTAMP + 1
        assert probe.call("clock")[0] == GENESIS_TIMESTAMP + 1
        again.wait(5)
        receipt = probe.send("set", 1, sender=again.actor("keeper")).receipt
        assert receipt.timestamp == GENESIS_TIMESTAMP + 7
        assert len(probe.events()) == 2


@needs_anvil
def test_a_failure_leaves_nothing_in_the_pool_for_the_next_transaction_to_trip_over() -> None:
    # A node forgets a mined transaction a moment later, with all of the same sender and nonce; with
    # a batch before it, one in ten of these was lost.
    with start_anvil(flags=["--no-mining"]) as devnet:
        probe, keeper = make(devnet), devnet.actor("keeper")
        for n in range(40):
            devnet.transact_many([(keeper, probe.address, probe.encode("set", n))] * 2)
            with pytest.raises(Reverted, match="too large"):
                probe.send("set", 1_000, sender=keeper)
            probe.send("set", n, sender=keeper)
        assert probe.call("amount") == 39


@needs_anvil
def test_what_was_taken_back_is_not_mined_once_more() -> None:
    # Nor does it take the sender's next transaction, of the same nonce, with it.
    with start_anvil() as devnet:
        probe, keeper = make(devnet), devnet.actor("keeper")
        for n in range(60):
            snap = devnet.snapshot()
            probe.send("set", 100 + n, sender=keeper)
            devnet.revert(snap)
            probe.send("set", n, sender=keeper)
            assert probe.call("amount") == n


@needs_anvil
def test_a_line_that_was_closed_is_opened_again_and_a_node_that_left_is_missed() -> None:
    with start_anvil() as devnet:
        probe, keeper = make(devnet), devnet.actor("keeper")
        line = devnet._line
        assert line is not None
        line._connection.sock.shutdown(socket.SHUT_RDWR)
        probe.send("set", 3, sender=keeper)
        assert probe.call("amount") == 3
    with pytest.raises(EngineError, match="does not answer"):
        probe.call("amount")


@needs_anvil
@pytest.mark.parametrize(
    "provider",
    [
        lambda url: HTTPProvider(f"{url}/?key=1"),
        lambda url: LegacyWebSocketProvider(f"ws{url[4:]}"),
    ],
)
def test_a_provider_that_is_no_plain_http_serves_as_well(provider: Any) -> None:
    """Ape or a user may hand in any provider of web3; a node elsewhere is spoken to through it."""
    with start_anvil() as devnet:
        other = RpcEngine(Web3(provider(devnet._web3.provider.endpoint_uri)))  # type: ignore[attr-defined]
        assert devnet._line is not None and other._line is None
        assert batches(other) == batches(RevmEngine())


@needs_anvil
def test_gas_is_reported_by_anvil_only() -> None:
    keeper = RevmEngine().actor("keeper")
    with start_anvil() as devnet:
        cold = make(devnet).send("set", 1, sender=keeper).receipt.gas_used
    assert cold is not None and 40_000 < cold < 60_000
    assert make(RevmEngine()).send("set", 1, sender=keeper).receipt.gas_used is None


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"", "reverted without a reason"),
        (bytes.fromhex("4e487b71" + f"{0x11:064x}"), "panic 0x11 (arithmetic overflow)"),
        (bytes.fromhex("deadbeef"), "reverted with 0xdeadbeef"),
    ],
)
def test_reverts_without_a_string_are_readable(output: bytes, reason: str) -> None:
    assert revert_reason(output) == reason


def test_an_unknown_halt_is_reported_as_it_is() -> None:
    assert halt_reason("StackUnderflow") == "StackUnderflow"


def test_values_survive_the_way_there_and_back() -> None:
    engine = RevmEngine()
    probe, who = make(engine), engine.actor("keeper")
    level = {"price": 3, "size": -4}
    back = probe.call("echo", -5, True, who, b"\x01" * 32, "text", [level, (5, 6)], level)
    assert back == (-5, True, who, b"\x01" * 32, "text", [(3, -4), (5, 6)], (3, -4))
    assert back[5][1].price == 5
    assert back[6]._asdict() == level
    page = probe.call("page", 2)
    assert (page.owner, page.levels[1].size) == (engine.actor("deployer"), -1)
    assert probe.call("page", 0).levels == []
    made = probe.send("make", sender=who).one("Made")
    assert made.page.levels[0].price == made.args["page"].levels[0].price == 7
    assert copy.deepcopy(made) == made


def test_default_arguments_choose_the_variant() -> None:
    probe = make(RevmEngine())
    assert probe.call("total", [1, 2]) == 3
    assert probe.call("total", [1, 2], 10) == 13
    assert probe.call("total(uint256[],uint256)", [1], 1) == 2


def wrong(method: str, *args: Any) -> str:
    with pytest.raises(ContractError) as error:
        make(RevmEngine()).call(method, *args)
    return str(error.value)


def test_a_wrong_call_names_contract_method_and_what_it_takes() -> None:
    assert wrong("amuont") == "Probe has no method 'amuont': did you mean amount?"
    assert wrong("set") == "Probe.set takes (amount: uint256), but 0 arguments were given"
    assert wrong("set", -1) == "Probe.set takes (amount: uint256): -1 does not fit amount: uint256"
    assert "'5' does not fit amount: uint256" in wrong("set", "5")
    assert "1.5 does not fit amount: uint256" in wrong("set", 1.5)
    assert "{'price': 1} does not fit g: (uint256,int256)" in wrong(
        "echo", 0, True, "0x" + "11" * 20, bytes(32), "", [], {"price": 1}
    )
    assert " or " in wrong("total")


def test_a_view_cannot_be_sent_and_a_constructor_checks_its_arguments() -> None:
    engine = RevmEngine()
    probe, keeper = make(engine), engine.actor("keeper")
    with pytest.raises(ContractError, match="only reads: use call"):
        probe.send("amount", sender=keeper)
    with pytest.raises(ContractError, match=r"__init__ takes \(start: uint256, label: string\)"):
        contracts.deploy(engine, "Probe", ABI, CODE, [5], sender=keeper)


def test_an_address_without_a_contract_is_said_to_be_one() -> None:
    engine = RevmEngine()
    empty = Contract(engine, engine.actor("keeper"), ABI, "Probe")
    with pytest.raises(ContractError, match="is there a contract at"):
        empty.call("amount")


def test_logs_of_unknown_contracts_are_left_out_and_keep_their_place() -> None:
    engine = RevmEngine()
    outer, inner = make(engine), make(engine, label="other")
    tx = outer.send("set_both", inner, 4, sender=engine.actor("keeper"))
    assert [event.index for event in tx.events] == [0, 2]
    with pytest.raises(ContractError, match="expected one Changed event, found 2"):
        tx.one("Changed")


WORDS = ["uint8", "uint128", "uint256", "int8", "int128", "int256", "bool", "address"]
EDGES = [0, 1, 127, 128, 255, 256, 2**127 - 1, 2**127, 2**160, 2**255 - 1, 2**255, 2**256 - 128]
EDGES += [2**256 - 129, 2**256 - 2**127, 2**256 - 2**127 - 1, 2**256 - 1]


@pytest.mark.parametrize("kind", WORDS)
def test_the_quick_codec_reads_a_word_as_the_general_one_or_leaves_it_alone(kind: str) -> None:
    entry = {"name": "x", "type": kind, "indexed": False}
    read, read_list = words.decoder([entry]), words.decoder([{**entry, "type": f"{kind}[]"}])
    pair = {"name": "p", "type": "tuple", "components": [{"name": "n", "type": "uint8"}, entry]}
    read_pair = words.decoder([pair])
    said = words.log_decoder([entry, {**entry, "name": "y", "indexed": True}], str.upper)
    assert read and read_list and read_pair and said
    fitting = 0
    for word in (edge.to_bytes(32, "big") for edge in EDGES):
        listed = (32).to_bytes(32, "big") + (1).to_bytes(32, "big") + word
        two = (7).to_bytes(32, "big") + word
        try:
            (value,) = eth_abi.decode([kind], word)
        except DecodingError:
            for quick, data in ((read, word), (read_list, listed), (read_pair, two)):
                with pytest.raises(words.NotPlain):
                    quick(data)
            with pytest.raises(words.NotPlain):
                said([b"", bytes(32)], word)
            with pytest.raises(words.NotPlain):
                said([b"", word], bytes(32))
            continue
        fitting += 1
        assert read(word) == (value,) and type(read(word)[0]) is type(value)
        assert read_list(listed) == ((value,),)
        assert read_pair(two) == ((7, value),)
        loud = value.upper() if kind == "address" else value
        assert said([b"", word], word) == {"x": loud, "y": loud}
        write, write_list = words.encoder([entry]), words.encoder([{**entry, "type": f"{kind}[]"}])
        assert write and write_list
        assert write([value]) == word
        assert write_list([[value]]) == listed
    assert 0 < fitting <= len(EDGES)
    for data in (b"", bytes(31)):
        with pytest.raises(words.NotPlain):
            read(data)
    with pytest.raises(words.NotPlain):
        read_list((32).to_bytes(32, "big") + (2).to_bytes(32, "big") + bytes(63))
    with pytest.raises(words.NotPlain):
        said([b""], bytes(32))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("int8", 128),
        ("int8", True),
        ("bool", 1),
        ("address", "0x12"),
    ],
)
def test_the_quick_codec_does_not_write_what_does_not_fit(kind: str, value: Any) -> None:
    for entry, given in (({"type": kind}, value), ({"type": f"{kind}[]"}, [value])):
        write = words.encoder([entry])
        assert write is not None
        with pytest.raises(words.NotPlain):
            write([given])


def batches(engine: Engine) -> list[Any]:
    """Blocks of many transactions between blocks of one: some fail, senders come again and again,
    and time passes. What becomes of each, the clock, the logs, and an address made afterwards."""
    told: list[Any] = []
    people = [engine.actor(f"sender {i}") for i in range(7)]
    probe = make(engine)

    def block(count: int, failing: set[int]) -> None:
        sent = [
            (people[i % 7], probe.address, probe.encode("set", 1000 + i if i in failing else i))
            for i in range(count)
        ]
        for made in engine.transact_many(sent):
            if isinstance(made, Reverted):
                told.append(made.reason)
            else:
                told.append((made.timestamp, made.block_number, made.logs))
        told.extend([engine.timestamp, probe.call("amount"), probe.call("clock")])

    block(BATCH, set())
    engine.wait(100)
    block(20, {3, 4, 19})
    engine.wait(7)
    block(2, {0, 1})
    with pytest.raises(Reverted):
        probe.send("set", 5_000, sender=people[0])
    probe.send("set", 77, sender=people[0])
    snap = engine.snapshot()
    block(5, {2})
    engine.revert(snap)
    block(6, {0})
    told.append(engine.logs([probe.address]))
    told.append(make(engine, label="sender 3").address)
    block(1, set())
    asked = [(probe.address, probe.encode("less", n)) for n in range(5)]
    told.append(engine.call_many(asked))
    with pytest.raises(Reverted, match="without a reason"):
        engine.call_many([*asked, (probe.address, probe.encode("less", 11))])
    with pytest.raises(ValueError, match="1 to 50"):
        engine.transact_many([])
    with pytest.raises(ValueError, match="1 to 50"):
        engine.transact_many([(people[0], probe.address, b"")] * (BATCH + 1))
    return told


def test_a_batch_is_one_block_in_which_only_the_failures_leave_nothing() -> None:
    told = batches(RevmEngine())
    first = told[:BATCH]
    assert {(stamp, number) for stamp, number, _ in first} == {first[0][:2]}
    assert [len(logs) for _, _, logs in first] == [1] * BATCH
    second = told[BATCH + 3 : BATCH + 23]
    assert [i for i, made in enumerate(second) if isinstance(made, str)] == [3, 4, 19]
    assert second[19] == "probe: amount too large"
    # The last that worked, and a hundred seconds later.
    assert told[BATCH + 24] == 18
    assert second[0][0] == first[0][0] + 101


@needs_anvil
@pytest.mark.parametrize(
    ("flags", "keeps_batches"),
    [
        (None, True),
        ((), True),
        (("--no-mining",), True),
        # The order in which a node hears the entries of a batch is nobody's.
        (("--order", "fifo"), False),
        (("--block-time", "60"), True),
    ],
)
def test_batches_are_the_same_on_a_devnet(flags: Any, keeps_batches: bool) -> None:
    with start_anvil(flags=flags) as devnet:
        assert batches(devnet) == batches(RevmEngine())
        # Arrival in order happens by luck too.
        assert devnet.batches or not keeps_batches


def test_an_engine_that_only_reads_sends_no_batch() -> None:
    from breakwater.engine.read import ReadEngine

    with pytest.raises(EngineError, match="only reads"):
        ReadEngine("http://127.0.0.1:1").transact_many([("0x" + "00" * 20, "0x" + "00" * 20, b"")])
