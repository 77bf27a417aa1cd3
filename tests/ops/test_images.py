"""Images: every format, upright, in the declared colours; what is no image costs its row only."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from pipeline.batch import columns
from pipeline.batch.columns import Ragged
from pipeline.errors import RowsError
from pipeline.ops.step import apply
from pipeline.spec.prepare import CenterCrop, DecodeImage, Normalize, Resize
from tests.support.images import claims, column, encoded, gradient, turned


def decode(*files, **options):
    step = DecodeImage(column="y", op="decode_image", of="x", **options)
    images = apply(step, {"x": column(*files)})["y"]
    return columns.take(images, np.arange(len(images)))


def resize(pixels, height=None, width=None, **options):
    step = Resize(column="y", op="resize", of="x", height=height, width=width, **options)
    return apply(step, {"x": pixels})["y"]


def center_crop(pixels, height, width, **options):
    step = CenterCrop(column="y", op="center_crop", of="x", height=height, width=width, **options)
    return apply(step, {"x": pixels})["y"]


def normalize(pixels, **options):
    step = Normalize(column="y", op="normalize", of="x", **options)
    return apply(step, {"x": pixels})["y"]


def reason(*files, **options):
    with pytest.raises(RowsError) as error:
        decode(*files, **options)
    prefix = "prepare step 'y' (decode_image of 'x'): "
    return {row: message.removeprefix(prefix) for row, message in error.value.messages.items()}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_damaged_file_of_a_known_kind_is_called_damaged(kind):
    data = encoded(gradient(9, 9), kind)
    for cut in (len(data) // 2, 20):
        assert f"the {kind} image is damaged" in reason(data[:cut])[0]


@pytest.mark.parametrize("data", [b"%PDF-1.7 ...", b"<svg/>", b"BMW 320 and others", b"II*"])
def test_what_is_no_image_is_not_called_damaged(data):
    assert "expected a file of one of the formats" in reason(data)[0]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (b"P6\n2 2\n255\n" + bytes(12), "a PNM picture"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (bytes(128) + b"DICM\x02\0\0\0", "a DICOM file"),
    ],
)
def test_picture_of_another_format_is_called_by_its_name(data, kind):
    assert reason(data)[0].startswith(f"found {kind}, expected a file of one of the formats JPEG, ")


@pytest.mark.parametrize("name", [b"Comment", b"Raw profile type exif"])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA"])
def test_png_whose_text_has_a_wrong_checksum_is_decoded_unless_it_may_turn_the_picture(kind, name):
    data = with_chunk(kind, name + b"\0\0" + zlib.compress(b"text"), checksum=b"oops")
    if name == b"Comment":
        assert (decode(data)[0] == gradient(4, 6)).all()
    else:
        assert "damaged" in reason(data)[0]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_png_with_a_text_that_is_very_long_is_decoded(kind):
    data = with_chunk(kind, b"Comment\0\0" + zlib.compress(bytes(2 << 20)))
    assert (decode(data)[0] == gradient(4, 6)).all()


def test_png_whose_pixels_have_a_wrong_checksum_is_damaged():
    data = bytearray(encoded(gradient(4, 6)))
    data[data.index(b"IDAT") + 6] ^= 1
    assert "damaged: its pixels do not fit their checksum" in reason(bytes(data))[0]


def with_chunk(kind, content, checksum=None):
    """A PNG with one chunk more, behind its header."""
    data = encoded(gradient(4, 6))
    checksum = checksum or struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + struct.pack(">I", len(content)) + kind + content + checksum + data[33:]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_which_nobody_says_what_is_white_are_refused(dtype):
    assert "expected 8 or 16 bits" in reason(encoded(np.ones((3, 3), dtype), "TIFF"))[0]


def test_sixteen_bits_in_which_white_is_zero_are_inverted():
    deep = (np.arange(16, dtype=np.uint16) << 12).reshape(4, 4)
    data = bytearray(encoded(deep, "TIFF"))
    assert (decode(bytes(data), channels=1)[0, :, :, 0] == deep >> 8).all()
    at = data.index(struct.pack("<HHI", 262, 3, 1))  # PhotometricInterpretation, one short: 1
    data[at + 8] = 0
    assert (decode(bytes(data), channels=1)[0, :, :, 0] == 255 - (deep >> 8)).all()


def test_twelve_bits_are_scaled_by_as_many():
    data = bytearray(encoded(np.frombuffer(b"\xab\xc1\x23\x00", np.uint16).reshape(1, 2), "TIFF"))
    at = data.index(struct.pack("<HHIH", 258, 3, 1, 16))  # BitsPerSample
    data[at + 8] = 12
    assert decode(bytes(data), channels=1)[0, 0, :, 0].tolist() == [0xAB, 0x12]


def test_image_with_too_many_pixels_is_refused_by_its_header():
    assert reason(claims(7_000, 9_000), encoded(gradient(3, 3))) == {
        0: "found 9000 x 7000 pixels, expected at most 50,000,000 in all"
    }
    assert reason(encoded(gradient(10, 10)), max_pixels=99)
    assert "pixels" in reason(claims(60_000, 60_000))[0]  # what Pillow itself refuses
    with pytest.raises(ValidationError, match="less than or equal to 178956970"):
        reason(encoded(gradient(3, 3)), max_pixels=300_000_000)  # which would change nothing


@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"]),
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


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 9),
    st.sampled_from(["bilinear", "nearest", "bicubic", "area"]),
    st.booleans(),
)
def test_the_shorter_side_gets_its_size_and_proportions_stay(height, width, size, method, smooth):
    picture = np.full((1, height, width, 3), 77, np.uint8)
    keys = {"size": size, "fit": "shorter_side", "method": method, "antialias": smooth}
    made = resize(picture, **keys)
    assert min(made.shape[1:3]) == size
    assert max(made.shape[1:3]) == int(size * max(height, width) / min(height, width))
    assert made.dtype == (np.uint8 if smooth or method == "nearest" else np.float32)
    assert np.abs(made.astype(float) - 77).max() < 1e-3


def test_line_of_pixels_does_not_become_a_picture_of_any_size():
    line = np.zeros((1, 1, 300_000, 3), np.uint8)
    with pytest.raises(RowsError, match="more than 50,000,000"):
        resize(line, size=224, fit="shorter_side")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fit": "shorter_side", "height": 2, "width": 2}, "needs `size`, found `height`"),
        ({"size": 2}, "`fit: stretch` needs `height` and `width`, found `size`"),
        ({"height": 2}, "needs `height` and `width`, found `height`"),
        ({"fit": "crop"}, "found neither"),
        ({"fit": "crop", "height": 2, "width": 2, "size": 2}, "found `height` and `width` and"),
    ],
)
def test_size_is_said_in_one_way(keys, message):
    with pytest.raises(ValueError, match=message):
        Resize(column="y", op="resize", of="x", **keys)


def test_area_is_the_mean_of_what_a_pixel_covers():
    picture = np.arange(12, dtype=np.uint8).reshape(1, 3, 4) * 10
    made = resize(picture, 2, 2, method="area", antialias=False)
    by_hand = [0 + 10 + (40 + 50) / 2, 20 + 30 + (60 + 70) / 2]
    np.testing.assert_allclose(made[0, 0] * 3, by_hand, rtol=1e-5)
    assert (resize(picture, 2, 2, method="area") == np.floor(made + 0.5)).all()


@pytest.mark.parametrize(("rounding", "top"), [("half_even", [0, 0, 1, 2, 2, 2]), ("down", None)])
def test_center_crop_keeps_the_middle(rounding, top):
    for more in range(6):
        picture = np.arange(5 + more).reshape(1, -1, 1).repeat(7, 2)
        made = center_crop(picture, 5, 7, rounding=rounding)
        first = top[more] if top else more // 2
        assert made[0, :, 0].tolist() == list(range(first, first + 5))


def test_picture_smaller_than_its_crop_costs_its_row():
    with pytest.raises(RowsError) as error:
        center_crop(Ragged([np.zeros((4, 4, 3)), np.zeros((4, 2, 3))]), 3, 3)
    assert list(error.value.messages) == [1]
    assert "found 4 x 2 pixels, expected at least 3 x 3" in error.value.messages[1]


def test_without_antialiasing_the_crop_is_of_whole_pixels_the_first_side_loses_less():
    picture = np.arange(7, dtype=np.uint8).reshape(1, 1, 7).repeat(4, 1)
    made = resize(picture, 4, 4, fit="crop", antialias=False)
    assert made[0, 0].tolist() == [1, 2, 3, 4]


def test_what_stands_behind_the_end_of_a_png_is_no_part_of_it():
    file = io.BytesIO()
    Image.fromarray(gradient(4, 5)).save(file, "PNG")
    behind = struct.pack(">I", 3) + b"IDAT" + b"abc" + bytes(4)
    np.testing.assert_array_equal(decode(file.getvalue() + behind)[0], gradient(4, 5))


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


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64", "float64"])
@pytest.mark.parametrize("layout", ["hwc", "chw"])
def test_nothing_is_rounded_before_the_mean_is_taken_off(dtype, layout):
    values = np.array([1_600_000_001, 1_600_000_010], dtype).reshape(1, 1, 2, 1)
    found = normalize(values, divide_by=1, mean=1_600_000_000, std=1, layout=layout)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), [1, 10])


def test_normalizing_by_one_number_brings_pixels_to_minus_one_to_one():
    found = normalize(
        Ragged([np.array([[0, 255]], np.uint8), np.zeros((1, 3), np.uint8)]), mean=0.5, std=0.5
    )
    np.testing.assert_allclose(found.rows[0], [[-1, 1]], atol=1e-6)
    assert found.rows[1].shape == (1, 3)


def test_the_order_bgr_is_that_of_mean_and_std_too():
    pixels = gradient(4, 5)[np.newaxis]
    means = [103.939, 116.779, 123.68]
    found = normalize(pixels, order="bgr", divide_by=1, mean=means, std=[1, 2, 4])
    np.testing.assert_allclose(found, (pixels[..., ::-1] - means) / [1, 2, 4], atol=1e-4)
    first = normalize(pixels, order="bgr", divide_by=1, mean=means, std=[1, 2, 4], layout="chw")
    np.testing.assert_array_equal(first, found.transpose(0, 3, 1, 2))


def test_steps_do_not_change_what_they_read():
    pixels = gradient(4, 4)[np.newaxis]
    before = pixels.copy()
    resize(pixels, 2, 2)
    normalize(pixels, divide_by=1)
    np.testing.assert_array_equal(pixels, before)
