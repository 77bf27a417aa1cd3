"""Images: every format, upright, in the declared colours; what is no image costs its row only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.batch import columns
from pipeline.batch.columns import Ragged
from pipeline.errors import RowsError
from pipeline.ops.step import apply
from pipeline.spec.prepare import DecodeImage, Normalize, Resize
from tests.support.images import claims, column, encoded, gradient, turned


def decode(*files, **options):
    step = DecodeImage(column="y", op="decode_image", of="x", **options)
    images = apply(step, {"x": column(*files)})["y"]
    return columns.take(images, np.arange(len(images)))


def resize(pixels, height, width, **options):
    step = Resize(column="y", op="resize", of="x", height=height, width=width, **options)
    return apply(step, {"x": pixels})["y"]


def normalize(pixels, **options):
    step = Normalize(column="y", op="normalize", of="x", **options)
    return apply(step, {"x": pixels})["y"]


def reason(*files, **options):
    with pytest.raises(RowsError) as error:
        decode(*files, **options)
    prefix = "prepare step 'y' (decode_image of 'x'): "
    return {row: message.removeprefix(prefix) for row, message in error.value.messages.items()}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_every_format_becomes_rows_columns_colours(kind):
    pixels = gradient(12, 20)
    decoded = decode(encoded(pixels, kind, quality=95))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (1, 12, 20, 3)
    assert np.abs(decoded[0].astype(int) - pixels).max() <= 8


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    decoded = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded[0, 0, 0].tolist() == [255, 0, 0]


def test_images_of_different_size_are_ragged_and_of_one_size_dense():
    files = [encoded(gradient(4, 6)), encoded(gradient(9, 3))]
    ragged = decode(*files)
    assert isinstance(ragged, Ragged)
    assert [row.shape for row in ragged.rows] == [(4, 6, 3), (9, 3, 3)]
    assert decode(files[0], files[0]).shape == (2, 4, 6, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_colours_are_converted(mode, channels):
    picture = Image.new("RGB", (4, 4), "white").convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert (
        decode(encoded(picture, kind), channels=channels).tolist()
        == np.full((1, 4, 4, channels), 255).tolist()
    )


def test_sixteen_bits_are_scaled_down_not_cut_off():
    deep = (np.arange(16, dtype=np.uint16) << 12).reshape(4, 4)
    decoded = decode(encoded(deep), channels=1)
    assert decoded[0, :, :, 0].tolist() == (np.arange(16) << 4).reshape(4, 4).tolist()


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)],
)
def test_exif_orientation_is_honoured(orientation, upright):
    pixels = gradient(8, 24)
    decoded = decode(turned(pixels, orientation))[0]
    assert decoded.shape == upright(pixels).shape
    assert np.abs(decoded.astype(int) - upright(pixels)).max() <= 8


def test_each_bad_file_is_named_with_its_own_reason():
    good = encoded(gradient(30, 30), "JPEG")
    found = reason(good, b"", b"just some text", good[: len(good) // 2], good)
    assert list(found) == [1, 2, 3]
    assert found[1] == "found no bytes, expected an image file"
    assert "begin with b'just som'" in found[2]
    assert "JPEG, PNG, WEBP, BMP, GIF" in found[2]
    assert "truncated" in found[3].lower()


def test_image_with_too_many_pixels_is_refused_by_its_header():
    assert reason(claims(7_000, 9_000), encoded(gradient(3, 3))) == {
        0: "found 9000 x 7000 pixels, expected at most 50,000,000 in all"
    }
    assert reason(encoded(gradient(10, 10)), max_pixels=99)
    assert "pixels" in reason(claims(60_000, 60_000))[0]  # what Pillow itself refuses


@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=5),
)
def test_damage_of_any_kind_is_a_reason_or_an_image_never_a_crash(kind, cut, flips):
    data = bytearray(encoded(gradient(20, 20), kind))
    for where, byte in flips:
        data[int(where * len(data))] = byte
    try:
        decoded = decode(bytes(data[: int(cut * len(data))]))
    except RowsError as error:
        assert error.messages[0]
    else:
        assert decoded.dtype == np.uint8
        assert decoded.shape[3] == 3


def test_resizing_keeps_flat_pictures_flat_and_brings_sizes_together():
    ragged = Ragged(np.full((h, w, 3), 77, np.uint8) for h, w in [(3, 9), (40, 2), (8, 8)])
    resized = resize(ragged, 5, 7)
    assert resized.shape == (3, 5, 7, 3)
    assert resized.dtype == np.uint8
    assert (resized == 77).all()


def test_shrinking_averages_and_nearest_picks():
    board = np.zeros((1, 8, 8, 3), np.uint8)
    board[:, ::2, ::2] = board[:, 1::2, 1::2] = 200
    assert np.abs(resize(board, 2, 2).astype(int) - 100).max() <= 5
    assert set(np.unique(resize(board, 2, 2, method="nearest"))) <= {0, 200}


def test_floats_of_any_number_of_channels_are_resized_without_rounding():
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 1, 16, 1).repeat(4, 1).repeat(5, 3)
    resized = resize(ramp, 4, 8)
    assert resized.shape == (1, 4, 8, 5)
    assert resized.dtype == np.float32
    assert (np.diff(resized[0, 0, :, 4]) > 0.05).all()
    assert resize(ramp[..., 0], 2, 3).shape == (1, 2, 3)


def test_crop_keeps_the_middle_in_its_proportions():
    wide = np.zeros((1, 10, 30, 3), np.uint8)
    wide[:, :, 10:20] = 250
    assert (resize(wide, 5, 5, fit="crop", method="nearest") == 250).all()
    assert (resize(wide, 5, 5, method="nearest") == 0).any()


def test_image_without_pixels_cannot_be_resized():
    with pytest.raises(RowsError) as error:
        resize(Ragged([np.zeros((2, 2, 3), np.uint8), np.zeros((0, 4, 3), np.uint8)]), 2, 2)
    message = "prepare step 'y' (resize of 'x'): found no pixels (shape [0, 4, 3])"
    assert error.value.messages == {1: message}


def test_normalizing_is_the_formula_of_torchvision():
    pixels = np.stack([gradient(4, 5), gradient(4, 5)[::-1]])
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (pixels / 255 - np.array(mean)) / np.array(std)
    found = normalize(pixels, mean=mean, std=std)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    first = normalize(pixels, mean=mean, std=std, layout="chw")
    np.testing.assert_array_equal(first, found.transpose(0, 3, 1, 2))


def test_normalizing_by_one_number_brings_pixels_to_minus_one_to_one():
    found = normalize(
        Ragged([np.array([[0, 255]], np.uint8), np.zeros((1, 3), np.uint8)]), mean=0.5, std=0.5
    )
    np.testing.assert_allclose(found.rows[0], [[-1, 1]], atol=1e-6)
    assert found.rows[1].shape == (1, 3)


def test_steps_do_not_change_what_they_read():
    pixels = gradient(4, 4)[np.newaxis]
    before = pixels.copy()
    resize(pixels, 2, 2)
    normalize(pixels, divide_by=1)
    np.testing.assert_array_equal(pixels, before)
