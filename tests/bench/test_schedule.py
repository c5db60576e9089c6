"""Turns: who is measured when, for how long, and what happens when one fails or somebody presses Ctrl-C."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgevision.bench.benchmark import Bench, bench
from edgevision.bench.contender import Contender, ContenderSpec
from edgevision.bench.machine import Bystanders, Energy, Gauges, Sampler, describe_machine, pmic_power_w
from edgevision.bench.records import ContenderRecord, Moment, Settings
from edgevision.bench.schedule import Schedule, Task
from edgevision.bench.summary import figures
from edgevision.bench.sustained import Sustaining, parse_duration_s, under_line_at_s
from edgevision.capture.scene import SceneSource
from edgevision.errors import ModelFailed, UsageError
from tests.support.bench import CLIP, LIVE, alone_block, loop_block
from tests.support.models import FakeClock, IndexDetector, ListSource, numbered_pictures

NO_ENERGY = Energy(told=lambda command: None)


class Scripted:
    """A contender whose frames take what is given, on a clock that it moves itself."""

    def __init__(self, label, clock, frame_ms, *, slow_start=0, fails_at=None, stops_at=None):
        self.label, self.clock, self.frame_ms = label, clock, frame_ms
        self.slow_start, self.fails_at, self.stops_at = slow_start, fails_at, stops_at
        self.calls = []
        self.frames = 0
        self.closed = False

    def describe(self):
        return ContenderRecord(label=self.label, model=self.label, kind="compact", classes=("thing",), min_score=0.3)

    def _frame_ms(self):
        self.frames += 1
        self.clock.advance_ms(self.frame_ms * (4 if self.frames <= self.slow_start else 1))
        return self.frame_ms * (4 if self.frames <= self.slow_start else 1)

    def _take(self, kind, seconds, frames, number):
        if self.fails_at is not None and len(self.calls) == self.fails_at:
            raise ModelFailed(f"{self.label}: gave up")
        if self.stops_at is not None and len(self.calls) == self.stops_at:
            raise KeyboardInterrupt
        self.calls.append((kind, number))
        taken = []
        while not taken or (sum(taken) < seconds * 1000 and len(taken) != frames):
            taken.append(self._frame_ms())
        return (alone_block if kind == "alone" else loop_block)(number, taken)

    def run_alone(self, address, seconds, frames, number):
        return self._take("alone", seconds, frames, number)

    def run_loop(self, address, seconds, frames, number):
        return self._take("loop", seconds, frames, number)

    def find(self, frame_set, seconds, min_score):
        return []

    def peak_rss_mib(self):
        return 1.0

    def close(self):
        self.closed = True


def rounds_of(*taken, clock, **settings):
    made = Schedule(Settings(**{"seconds": 8.0, "rounds": 16, **settings}), NO_ENERGY, clock=clock)
    made.tasks += [Task(t, t.label, "alone", "clip", CLIP) for t in taken]
    return made


def test_contenders_take_turns():
    clock = FakeClock()
    log = []
    one, two = Scripted("one", clock, 5.0), Scripted("two", clock, 20.0)
    for taken in (one, two):
        plain = taken._take
        taken._take = lambda *a, plain=plain, name=taken.label: (log.append((name, a[3])), plain(*a))[1]
    made = rounds_of(one, two, clock=clock)
    made.warm_up()
    made.take()
    counted = [(name, number) for name, number in log if number >= 0]
    assert counted == [(name, number) for number in range(16) for name in ("one", "two")]


def test_warm_up_goes_on_until_the_data_say_so():
    clock = FakeClock()
    quick, slow = Scripted("quick", clock, 5.0), Scripted("slow", clock, 5.0, slow_start=40)
    made = rounds_of(quick, slow, clock=clock)
    made.warm_up()
    assert len(quick.calls) == 2
    assert len(slow.calls) == 3
    assert 40 <= made.tasks[1].warm_up_frames <= 45
    assert made.tasks[1].settled
    assert made.tasks[1].frame_s == pytest.approx(0.005)


def test_a_slow_contender_gets_few_frames_evenly_over_the_run():
    clock = FakeClock()
    slow = Scripted("slow", clock, 14_000.0)
    made = rounds_of(Scripted("quick", clock, 4.0), slow, clock=clock)
    made.warm_up()
    made.take()
    numbers = [number for _, number in slow.calls]
    assert numbers[0] == -1
    assert len(numbers) == 4
    assert numbers[1:] == [5, 10, 15]
    assert slow.frames == 4


def test_what_is_slower_than_a_block_gets_as_many_as_there_is_time_for():
    clock = FakeClock()
    slow = Scripted("slow", clock, 1_000.0)
    made = rounds_of(slow, clock=clock)
    made.warm_up()
    made.take()
    assert sum(number >= 0 for _, number in slow.calls) == 8


def test_a_slow_model_is_not_warmed_up_for_the_loop_again():
    clock = FakeClock()
    slow = Scripted("slow", clock, 14_000.0)
    made = rounds_of(slow, clock=clock)
    made.tasks.append(Task(slow, "slow", "loop", "clip", CLIP))
    made.warm_up()
    assert slow.calls == [("alone", -1)]


def test_frames_bound_the_run():
    clock = FakeClock()
    one = Scripted("one", clock, 5.0)
    made = rounds_of(one, clock=clock, frames=30)
    made.warm_up()
    made.take()
    taken = sum(len(b.published_ns) for b in made.tasks[0].blocks if b.round >= 0)
    assert 30 <= taken <= 45


def test_one_that_fails_is_left_out_and_the_others_go_on():
    clock = FakeClock()
    good, bad = Scripted("good", clock, 5.0), Scripted("bad", clock, 5.0, fails_at=4)
    made = rounds_of(good, bad, clock=clock)
    made.warm_up()
    made.take()
    assert len(bad.calls) == 4
    assert sum(number >= 0 for _, number in good.calls) == 16
    assert "bad: gave up" in str(made.failures["bad"])


def test_the_only_one_that_fails_is_an_error():
    clock = FakeClock()
    made = rounds_of(Scripted("bad", clock, 5.0, fails_at=2), clock=clock)
    with pytest.raises(ModelFailed, match="gave up"):
        made.warm_up()
        made.take()


def test_progress_ends_where_it_said_it_would():
    clock = FakeClock()
    told = []
    made = Schedule(Settings(seconds=4.0, rounds=8), NO_ENERGY, clock=clock, progress=lambda *a: told.append(a))
    made.tasks += [Task(Scripted("one", clock, 5.0), "one", "alone", "clip", CLIP)]
    made.take()
    assert told[0][1:] == (0.0, 4.0)
    assert [t[1] for t in told] == sorted(t[1] for t in told)
    assert told[-1][1] == pytest.approx(3.5)


def bench_of(*taken, clock):
    made = Bench(Settings(seconds=2.0, rounds=4), clock=clock, gauges=Gauges(told=lambda command: None))
    made._clips.append(("clip", CLIP))
    for one in taken:
        made._add(one, ())
    return made


def test_ctrl_c_keeps_what_was_measured():
    clock = FakeClock()
    made = bench_of(Scripted("one", clock, 5.0), Scripted("two", clock, 5.0, stops_at=7), clock=clock)
    made.measure()
    run = made.result()
    assert run.interrupted
    assert [f.label for f in figures(run)] == ["one", "one", "two", "two"]
    made.close()
    assert all(t.closed for t in made._taken.values())


def test_ctrl_c_before_anything_was_measured_is_ctrl_c():
    clock = FakeClock()
    made = bench_of(Scripted("one", clock, 5.0, stops_at=0), clock=clock)
    with pytest.raises(KeyboardInterrupt):
        made.measure()


def test_a_contender_is_measured_once():
    clock = FakeClock()
    with pytest.raises(UsageError, match="expected each contender once, got one twice"):
        bench_of(Scripted("one", clock, 5.0), Scripted("one", clock, 5.0), clock=clock)


# A contender in this process


def subject_of(detector, source, name="list"):
    subject = Contender(ContenderSpec(detector.name), detector=detector)
    subject.offer(name, source)
    return subject


def test_inference_alone_is_timed_frame_by_frame():
    subject = subject_of(IndexDetector(), ListSource(numbered_pictures(20)))
    block = subject.run_alone("list", 60.0, 12, 3)
    assert block.round == 3
    assert len(block.stages["infer"]) == len(block.published_ns) == 12
    assert sum(block.stages["infer"]) == block.published_ns[-1] == block.span_ns


def test_a_loop_goes_on_where_the_last_block_ended():
    subject = subject_of(IndexDetector(), ListSource(numbered_pictures(50)))
    one, two = (subject.run_loop("list", 60.0, 10, k) for k in range(2))
    assert one.indices == tuple(range(10))
    assert two.indices == tuple(range(10, 20))
    assert set(one.stages) == {
        "capture", "wait", "preprocess", "infer", "decode", "track", "render", "publish"
    }  # fmt: skip
    assert all(len(v) == 10 for v in one.stages.values())
    assert list(one.published_ns) == sorted(one.published_ns)


def test_a_block_ends_exactly_so_that_nothing_goes_on_behind_its_back():
    """A slow model that was given a frame more would infer it while it is another contender's turn."""
    detector = IndexDetector()
    seen = []
    plain = detector.detect
    detector.detect = lambda pixels: (seen.append(1), plain(pixels))[1]
    subject = subject_of(detector, ListSource(numbered_pictures(50)))
    subject.run_loop("list", 60.0, 1, 0)
    assert len(seen) == 1
    assert not [t for t in threading.enumerate() if t.name.startswith(("capture", "lane-"))]


def test_a_live_loop_ends_with_its_turn_and_drains():
    with SceneSource(people=0, size_wh=(64, 64), fps=200) as scene:
        block = subject_of(IndexDetector(), scene).run_loop("list", 60.0, 5, 0)
    assert block.live
    assert 5 <= len(block.indices) <= 8


def test_a_loaded_detector_is_measured_in_this_process():
    class Named(IndexDetector):
        min_score = 0.5

    subject = subject_of(Named(), ListSource(numbered_pictures(10)))
    found = subject.describe()
    assert (found.kind, found.label, found.min_score) == ("other", "index@1", 0.5)


def test_nothing_to_measure_is_refused():
    with pytest.raises(UsageError, match="at least one model"):
        bench([])
    with pytest.raises(UsageError, match="above 0"):
        bench(["person"], seconds=0)


# Sustained


def test_going_under_the_line_is_dated():
    moments = [Moment(at_s=1 + 2 * k, frames=80 if k < 50 else 50, span_s=2.0) for k in range(100)]
    assert under_line_at_s(moments, 30.0) == pytest.approx(96, abs=10)
    assert under_line_at_s(moments, 20.0) is None


def test_a_short_dip_is_none():
    moments = [Moment(at_s=1 + 2 * k, frames=20 if k == 30 else 80, span_s=2.0) for k in range(100)]
    assert under_line_at_s(moments, 30.0) is None


def test_a_live_source_is_held_against_its_own_rate():
    sustaining = Sustaining("one", LIVE, 0)
    sustaining.add(loop_block(0, [33.4] * 60, live=True, indices=[*range(30), *range(31, 61)]), 0.0)
    found = sustaining.result()
    assert found.line_fps == pytest.approx(29.1)
    assert found.moments[0].fps == pytest.approx(1000 / 33.4)
    assert found.moments[0].dropped == 1


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("90s", 90), ("1h", 3600), ("45", 45), ("1.5 min", 90)])
def test_durations(text, seconds):
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "ten", "-5m", "5d"])
def test_durations_that_are_none(text):
    with pytest.raises(UsageError, match="expected a time such as"):
        parse_duration_s(text)


# The machine


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.fixture
def system(tmp_path):
    write(tmp_path, "class/thermal/thermal_zone0/temp", "48200\n")
    write(tmp_path, "class/thermal/thermal_zone1/temp", "61500\n")
    write(tmp_path, "class/thermal/thermal_zone2/temp", "-274000\n")
    for k, khz in enumerate((2_400_000, 1_800_000)):
        write(tmp_path, f"devices/system/cpu/cpu{k}/cpufreq/scaling_cur_freq", f"{khz}\n")
    write(tmp_path, "devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    for zone, name, energy in (("0", "package-0", 900), ("0:0", "core", 400), ("1", "psys", 5000)):
        write(tmp_path, f"class/powercap/intel-rapl:{zone}/name", name)
        write(tmp_path, f"class/powercap/intel-rapl:{zone}/energy_uj", str(energy))
        write(tmp_path, f"class/powercap/intel-rapl:{zone}/max_energy_range_uj", "999")
    return tmp_path


def test_heat_and_clock_are_read(system):
    sample = Gauges(system, lambda command: None).sample(7)
    assert (sample.temperature_c, sample.clock_mhz, sample.throttled, sample.at_ns) == (61.5, 2100.0, None, 7)


def test_the_firmware_of_a_pi_says_what_holds_it_back(tmp_path):
    told = {"get_throttled": "throttled=0x50005\n", "pmic_read_adc": None}
    sample = Gauges(tmp_path, lambda command: told[command[1]]).sample(0)
    assert sample.throttled == ("under-voltage", "throttled")


def test_rapl_counts_packages_only_and_starts_again(system):
    energy = Energy(system, lambda command: None)
    assert energy.source is not None
    before = energy.read_uj()
    assert before == (900,)
    write(system, "class/powercap/intel-rapl:0/energy_uj", "150")
    assert energy.spent_uj(before, energy.read_uj()) == 250


def test_a_counter_that_may_not_be_read_is_named(system):
    (system / "class/powercap/intel-rapl:0/energy_uj").unlink()
    energy = Energy(system, lambda command: None)
    assert energy.source is None
    assert "may not be read" in energy.reason
    assert energy.read_uj() is None
    assert energy.spent_uj(None, None) is None


PMIC = """\
     3V7_WL_SW_A current(0)=0.10000000A
      VDD_CORE_A current(7)=2.00000000A
     3V7_WL_SW_V volt(8)=3.70000000V
      VDD_CORE_V volt(15)=0.85000000V
         EXT5V_V volt(24)=5.15000000V
          BATT_V volt(25)=0.00000000V
"""


def test_a_pi_5_sums_its_rails(tmp_path):
    assert pmic_power_w(PMIC) == pytest.approx(0.37 + 1.7)
    assert pmic_power_w("error\n") is None
    assert pmic_power_w(None) is None
    energy = Energy(tmp_path, lambda command: PMIC)
    assert energy.power_w() == pytest.approx(2.07)
    assert not energy.counts


def test_samples_are_taken_until_stopped(system):
    sampler = Sampler(Gauges(system, lambda command: None), 0)
    samples = sampler.stop()
    assert samples[0].temperature_c == 61.5


def test_a_machine_that_tells_nothing_gives_no_samples(tmp_path):
    assert Sampler(Gauges(tmp_path, lambda command: None), 0).stop() == ()


def test_this_machine(system):
    found = describe_machine(system)
    assert found.governor == "ondemand"
    assert found.cores >= 1
    assert "onnxruntime" in found.packages
    assert "CPUExecutionProvider" in found.providers


def test_other_programs_work_is_seen():
    watching = Bystanders()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    ours = watching.share(0.0)
    assert ours is not None
    assert 0 <= ours <= 1
    # What contenders took is not others': charged for more than there was, nothing is left.
    assert watching.share(1000.0) == 0


def test_power_while_idle(system):
    made = Bench(Settings(seconds=1.0, rounds=1), gauges=Gauges(system, lambda command: None))

    def wait(seconds):
        write(system, "class/powercap/intel-rapl:0/energy_uj", "950")

    made.measure_idle(0.01, wait)
    assert made._idle_w is not None
    assert made._idle_w > 0
    assert np.isfinite(made._idle_w)


def test_a_contender_dropped_from_the_race_gets_no_further_round():
    clock = FakeClock()
    one, two = Scripted("one", clock, 5.0), Scripted("two", clock, 20.0)
    made = rounds_of(one, two, clock=clock)
    made.warm_up()
    made.take(race=lambda tasks: {"two"} if len(tasks[0].blocks) > 5 else set())
    assert sum(number >= 0 for _, number in one.calls) == 16
    assert 1 <= sum(number >= 0 for _, number in two.calls) < 8


def test_further_rounds_are_numbered_on():
    clock = FakeClock()
    one = Scripted("one", clock, 5.0)
    made = rounds_of(one, clock=clock)
    made.warm_up()
    made.take()
    made.take(first=16, rounds=3)
    assert [number for _, number in one.calls if number >= 0] == list(range(19))
