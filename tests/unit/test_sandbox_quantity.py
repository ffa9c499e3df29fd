"""Quantities as the server reads and writes them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.quantity import ERROR, SUFFIX_ERROR, QuantityError

# What kube-apiserver 1.34.4 made of each as the greatest memory of a LimitRange (dry run); "!" is a refusal.
ANSWERS = [
    ("0", "0"), ("0.0", "0"), ("-0", "0"), ("00", "0"), ("0Ki", "0"), ("0m", "0"), ("0e3", "0"), ("1", "1"),
    ("01", "01"), ("001.50", "1500m"), ("1.", "1."), ("1.0", "1"), (".5", "500m"), ("0.5", "500m"), ("+1", "+1"),
    ("-1", "-1"), ("-1500m", "-1500m"), ("1500m", "1500m"), ("1000m", "1"), ("1024", "1024"), ("1024Ki", "1Mi"),
    ("1025Ki", "1025Ki"), ("1023Mi", "1023Mi"), ("1048576Ki", "1Gi"), ("1000Ki", "1000Ki"), ("1.5Gi", "1536Mi"),
    ("1.25Mi", "1280Ki"), ("0.5Ki", "512"), ("0.1Ki", "102400m"), ("0.001Ki", "1024m"), ("1.1Ki", "1126400m"),
    ("1536Mi", "1536Mi"), ("2048Gi", "2Ti"), ("1Ei", "1Ei"), ("8Ei", "9223372036854775807"), ("7Ei", "7Ei"),
    ("9223372036854775807", "9223372036854775807"), ("9223372036854775808", "9223372036854775808"),
    ("9223372036854775807Ki", "9223372036854775807"), ("-9223372036854775808", "-9223372036854775808"),
    ("-9223372036854775809", "-9223372036854775809"), ("1e3", "1e3"), ("1E3", "1E3"), ("1e0", "1e0"),
    ("1e-3", "1e-3"), ("1.5e3", "1500"), ("15e2", "1500"), ("1e18", "1e18"), ("1e19", "10e18"), ("1e20", "100e18"),
    ("12e6", "12e6"), ("100e3", "100e3"), ("123e1", "1230"), ("1e1", "10"), ("1e2", "100"), ("1e+3", "1e+3"),
    ("1e-9", "1e-3"), ("1e-10", "1e-3"), ("1E", "1E"), ("1E5", "100e3"), ("1e", "!suffix"), ("1ei", "!suffix"),
    ("1Ee", "!suffix"), ("1n", "1m"), ("1u", "1m"), ("999n", "1m"), ("1000n", "1m"), ("1500n", "1m"), ("1.5n", "1m"),
    ("0.1n", "1m"), ("0.0000000001", "1m"), ("0.000000001", "1m"), ("0.0000000015", "1m"), ("1.0000000001", "1001m"),
    ("123456789.987654321", "123456789988m"), ("123456789.9876543219", "123456789988m"), ("1k", "1k"),
    ("1000k", "1M"), ("1M", "1M"), ("1G", "1G"), ("1T", "1T"), ("1P", "1P"), ("10E", "10E"), ("9.3E", "9300P"),
    ("1000E", "1"), ("0.1k", "100"), ("0.0001k", "100m"), ("12345678901234567890", "12345678901234567890"),
    ("0.0625Gi", "64Mi"), ("1.0009765625Ki", "1025"), ("3.7Gi", "3972844748800m"), ("100m", "100m"),
    ("1100m", "1100m"), ("0.1", "100m"), ("0.25", "250m"), ("0.333", "333m"), ("2.5", "2500m"), ("1000", "1k"),
    ("10000", "10k"), ("1000000", "1M"), ("1100000", "1100k"), ("1024Mi", "1Gi"), ("1Ti", "1Ti"), ("1024Ti", "1Pi"),
    ("1500Mi", "1500Mi"), ("1.5", "1500m"), ("1,5", "!form"), ("1 Gi", "!form"), (" 1", "1"), ("1 ", "1"),
    ("", "!form"), ("1Kb", "!form"), ("1ki", "!suffix"), ("1K", "!suffix"), ("1mi", "!suffix"), ("--1", "!suffix"),
    ("1e1.5", "!form"), ("e3", "0"), (".", "0"), ("-", "0"), ("1..5", "!form"), ("0x10", "!form"),
    ("1_000", "!form"), ("\uff11", "!form"), ("1Gi1", "!suffix"), ("-1Ki", "-1Ki"), ("-1.5Gi", "-1536Mi"),
    ("-0.1n", "-1m"), ("0.9999999999", "1"), ("1000e6", "1e9"), ("1e5", "100e3"), ("1e15", "1e15"),
    ("1e00003", "1e00003"), ("35618.037963n", "1m"), ("-38643847921.94070349m", "-38643847922m"),
    ("3702687224.00000297", "3702687224001m"), ("50021.0000000339", "50021001m"),
    ("526850342.37301Ei", "9223372036854775807"), ("6834m", "6834m"), ("9983190T", "9983190T"),
    ("-9021.0000002652E", "-9021000000265200M"), ("971774672.867761n", "972m"),
    ("56702218.179719649k", "56702218179720m"), ("884e-9", "1e-3"), ("5058048596Ki", "5058048596Ki"),
    ("22e-9", "1e-3"), ("24103Ti", "24103Ti"), ("19n", "1m"), ("73363657985.008Ei", "9223372036854775807"),
    ("+3.000000007k", "3000001m"), ("83379965903E6", "83379965903E6"),
    ("69676175.3053748825M", "69676175305374883m"), ("38540629877.000218G", "38540629877.000218G"),
    ("-43430Gi", "-43430Gi"), ("635.4154E6", "635415400"), ("829045596407k", "829045596407k"), ("92316e-9", "1e-3"),
    ("5637.760295826G", "5637.760295826G"), ("+458.3547937E", "458354793700G"), ("-7129e3", "-7129e3"),
    ("564e0", "564e0"), ("54653.0000555076Ki", "55964672057m"), ("66783690719n", "66784m"),
    ("537.0033229249Ti", "590441397710277777m"), ("82845496.902176E", "82845496.902176E"),
    ("58979225706.43u", "58979226m"), ("982350.784769849Mi", "1030069456490830m"),
    ("892049407.58396327G", "892049407583963270"), ("492385e2", "49238500"),
    ("36227525452.000000904k", "36227525452000001m"), ("67778126.0178", "67778126018m"), ("-26", "-26"),
    ("992269.04096e-3", "992270e-3"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answer"), ANSWERS)
def test_amounts_are_written_as_the_server_writes_them(text: str, answer: str):
    if not answer.startswith("!"):
        assert quantity.canonical(text, milli=True) == answer
        return
    with pytest.raises(QuantityError) as caught:
        quantity.canonical(text)
    assert str(caught.value) == (SUFFIX_ERROR if answer == "!suffix" else ERROR)


NUMBERS = st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{0,10})?", fullmatch=True)
SUFFIXES = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "E-3", "e-9", "e+2", "e0"])


@settings(deadline=None, max_examples=200)
@given(NUMBERS, SUFFIXES)
def test_writing_keeps_the_value_or_rounds_away_from_nothing(number: str, suffix: str):
    text = number + suffix
    value, written = quantity.parse(text), quantity.canonical(text, milli=True)
    rounded = quantity.parse(written)
    assert quantity.parse(quantity.canonical(text)) == value
    assert quantity.canonical(written, milli=True) == written
    assert (rounded * 1000).denominator == 1
    assert abs(value) <= abs(rounded) < abs(value) + Fraction(1, 1000)
    assert (rounded < 0) == (value < 0)


@settings(deadline=None, max_examples=100)
@given(NUMBERS, NUMBERS, SUFFIXES)
def test_a_sum_is_exact(one: str, two: str, suffix: str):
    total = quantity.add(one + suffix, two)
    assert quantity.parse(total) == quantity.parse(one + suffix) + quantity.parse(two)


@pytest.mark.parametrize("text", ["1" * 65, "1e10000", "1e-99999"])
def test_what_would_be_endless_is_refused(text: str):
    with pytest.raises(QuantityError):
        quantity.parse(text)
