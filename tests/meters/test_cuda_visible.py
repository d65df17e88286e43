"""What CUDA makes of its environment variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.meters.cuda_visible import Choice, Gpu, Instance, identified, visible

A, B, C = (Gpu(f"GPU-{digit * 8}-0000", "NVIDIA A100", f"00000000:{bus}:00.0") for digit, bus in ("a0", "b1", "b2"))
HALVES = (Instance("MIG-c0c0c0c0-1", 1, 0), Instance("MIG-d0d0d0d0-2", 2, 0))
DIVIDED = Gpu("GPU-eeeeeeee-0000", "NVIDIA A100", "00000000:F0:00.0", mig=True, instances=HALVES)
MACHINE = (A, B, C, DIVIDED)
MANY = tuple(Gpu(f"GPU-{number:08x}", "NVIDIA A100", f"00000000:{number:02X}:00.0") for number in range(16))


@pytest.mark.parametrize(
    ("devices", "chosen"),
    [
        (None, MACHINE),
        ("", ()),
        ("0", (A,)),
        ("2,0", (C, A)),
        (" 1 , 2 ", (B, C)),
        ("0,2,-1,1", (A, C)),
        ("-1", ()),
        ("0,9,1", (A,)),
        ("0,,1", (A,)),
        ("none", ()),
        ("NoDevFiles", ()),
        ("1,1", (B,)),
        ("²", ()),
        (A.uuid, (A,)),
        ("GPU-aaaaaaaa,GPU-22", (A,)),
        ("gpu-aaaa", ()),
        ("GPU-AAAAAAAA", (A,)),
        ("GPU-", ()),
        ("GPU-a,1", (A, B)),
        ("aaaaaaaa-0000", ()),
        ("MIG-c0c0c0c0-1", (DIVIDED,)),
        ("MIG-c0c0c0c0-1,MIG-d0d0d0d0-2", (DIVIDED,)),
        ("MIG-d0", (DIVIDED,)),
        ("MIG-ffff,0", ()),
        ("MIG-GPU-eeeeeeee-0000/1/0", (DIVIDED,)),
        ("MIG-GPU-eeeeeeee-0000/1/0,MIG-GPU-eeeeeeee-0000/2/0,0", (DIVIDED, A)),
        ("MIG-GPU-eeeeeeee-0000/7/0", ()),
        ("MIG-GPU-aaaaaaaa-0000/1/0", ()),
        ("3", (DIVIDED,)),
    ],
)
def test_a_list_of_devices_means_what_cuda_makes_of_it(devices, chosen):
    assert visible(MACHINE, devices) == Choice(chosen)


def test_a_prefix_of_two_uuids_names_neither():
    twins = (Gpu("GPU-12345678-1", bus_id="0:1:0"), Gpu("GPU-12345678-2", bus_id="0:2:0"))
    assert visible(twins, "GPU-12345678").gpus == ()
    assert visible(twins, "GPU-12345678-2").gpus == twins[1:]


def test_indices_beyond_nine_are_numbers():
    assert visible(MANY, "10,11,2").gpus == (MANY[10], MANY[11], MANY[2])


def test_equal_gpus_are_counted_in_the_order_of_their_pci_addresses():
    assert visible((C, A, B), "0,1").gpus == (A, B)


def test_different_gpus_are_counted_fastest_first_and_that_is_a_guess():
    slow, fast = Gpu("GPU-1", "T4", "0:1:0", speed=1.0), Gpu("GPU-2", "H100", "0:2:0", speed=9.0)
    assert visible((slow, fast), "0") == Choice((fast,), guessed=True)
    assert visible((slow, fast), "0", "FASTEST_FIRST") == Choice((fast,), guessed=True)
    assert visible((slow, fast), "0", "PCI_BUS_ID") == Choice((slow,))
    assert visible((slow, fast), "GPU-1") == Choice((slow,))
    assert visible((slow, fast), "1,0") == Choice((slow, fast)), "in whatever order, it is all of them"


@given(st.text(alphabet="0123456789-,GPUMIGabcdef/ \t", max_size=40))
def test_whatever_the_list_says_each_gpu_comes_once(devices):
    gpus = visible(MACHINE, devices).gpus
    assert len(set(gpus)) == len(gpus)
    assert set(gpus) <= set(MACHINE)


@given(st.lists(st.integers(0, 15), unique=True, max_size=16))
def test_indices_and_uuids_of_the_same_gpus_mean_the_same(indices):
    by_index = visible(MANY, ",".join(map(str, indices)))
    by_uuid = visible(MANY, ",".join(MANY[index].uuid for index in indices))
    assert by_index == by_uuid == Choice(tuple(MANY[index] for index in indices))


def test_a_gpu_is_identified_by_its_uuid_its_instances_or_its_address():
    assert identified(MACHINE, ["aaaaaaaa-0000"]) == (A,)
    assert identified(MACHINE, ["GPU-AAAAAAAA-0000", "d0d0d0d0-2"]) == (A, DIVIDED)
    assert identified(MACHINE, [], ["0000:f0:00.0"]) == (DIVIDED,)
    assert identified(MACHINE, ["ffffffff"]) == ()
