"""A secret is shown nowhere."""

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import pytest

from pgmagic.secret import Secret


@dataclass
class Holder:
    secret: Secret


def test_it_is_shown_nowhere_but_on_demand():
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {[secret]} {asdict(Holder(secret))} {vars(Holder(secret))}"
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps])
def test_it_is_not_written(write):
    with pytest.raises(TypeError) as refusal:
        write(Secret("hunter2"))
    assert "hunter2" not in str(refusal.value)


def test_a_copy_is_as_silent():
    assert repr(copy.deepcopy(Secret("hunter2"))) == "***"


def test_an_empty_one_is_none():
    assert not Secret("")
    assert Secret(" ")
