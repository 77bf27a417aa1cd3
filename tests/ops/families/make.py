"""Makes `arrays.npz`: what the preprocessing of published models makes of a few small pictures.

It needs packages that the project does not; so it runs in an environment of its own, and only to
make the file again:

    python -m venv build/families
    build/families/bin/pip install torch torchvision timm keras tensorflow onnx onnxruntime \
        opencv-python-headless
    build/families/bin/python tests/ops/families/make.py PHOTOGRAPH

The file in the repository was made of `hopper.jpg` of Pillow's tests (a photograph of Grace Hopper
by the US Navy, in the public domain). The sizes that models want are made small by `SMALL`, so that
the file is; no formula of these packages knows particular sizes. `examples/images/README.md` has
the lines of each family, which `test_families.py` compares with the file.
"""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = {256: 14, 224: 11, 299: 13, 248: 12}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PACKAGES = "torch torchvision timm keras tensorflow onnxruntime opencv-python-headless pillow"
BOXES = {"tall": (40, 5, 87, 66), "wide": (3, 40, 122, 69), "tiny": (50, 20, 61, 29)}
"""Parts of the photograph, of odd height and width: left, top, right, bottom."""

Pixels = np.ndarray


def torchvision(pixels: Pixels) -> Pixels:
    """The preset of the weights of ResNet, MobileNet, ViT."""
    from torchvision.transforms._presets import ImageClassification

    preset = ImageClassification(crop_size=SMALL[224], resize_size=SMALL[256])
    return preset(Image.fromarray(pixels)).numpy()


def torchvision_bicubic(pixels: Pixels) -> Pixels:
    """The preset of the weights of EfficientNet."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    preset = ImageClassification(
        crop_size=SMALL[224], resize_size=SMALL[256], interpolation=InterpolationMode.BICUBIC
    )
    return preset(Image.fromarray(pixels)).numpy()


def timm(pixels: Pixels) -> Pixels:
    """What `resolve_data_config` says of a ResNet: bicubic, crop_pct 0.875."""
    from timm.data import create_transform

    size = SMALL[224]
    transform = create_transform(
        (3, size, size), interpolation="bicubic", crop_pct=size / SMALL[256], mean=MEAN, std=STD
    )
    return transform(Image.fromarray(pixels)).numpy()


def timm_vit(pixels: Pixels) -> Pixels:
    """The same of a ViT of `augreg`: crop_pct 0.9, values from -1 to 1."""
    from timm.data import create_transform

    size = SMALL[224]
    transform = create_transform(
        (3, size, size),
        interpolation="bicubic",
        crop_pct=size / SMALL[248],
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )
    return transform(Image.fromarray(pixels)).numpy()


def _load_img(pixels: Pixels, size: int) -> Pixels:
    """Keras' `load_img(file, target_size=...)` and `img_to_array`."""
    import io

    from keras.utils import img_to_array, load_img

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return img_to_array(load_img(file, target_size=(size, size)))


def keras_caffe(pixels: Pixels) -> Pixels:
    """ResNet50, ResNet101, VGG16, VGG19."""
    from keras.applications.resnet50 import preprocess_input

    return np.asarray(preprocess_input(_load_img(pixels, SMALL[224])))


def keras_tf(pixels: Pixels) -> Pixels:
    """InceptionV3, Xception, MobileNet, MobileNetV2, ResNetV2, NASNet."""
    from keras.applications.xception import preprocess_input

    return np.asarray(preprocess_input(_load_img(pixels, SMALL[299])))


def keras_torch(pixels: Pixels) -> Pixels:
    """DenseNet."""
    from keras.applications.densenet import preprocess_input

    return np.asarray(preprocess_input(_load_img(pixels, SMALL[224])))


def keras_resizing(pixels: Pixels) -> Pixels:
    """`Resizing` of floats, which `image_dataset_from_directory` gives."""
    from keras.layers import Resizing

    return np.asarray(Resizing(SMALL[224], SMALL[224])(pixels[np.newaxis].astype(np.float32)))[0]


def keras_resizing_crop(pixels: Pixels) -> Pixels:
    """The same with `crop_to_aspect_ratio=True`."""
    from keras.layers import Resizing

    layer = Resizing(SMALL[224], SMALL[224], crop_to_aspect_ratio=True)
    return np.asarray(layer(pixels[np.newaxis].astype(np.float32)))[0]


def tf_hub(pixels: Pixels) -> Pixels:
    """What the pages of tfhub.dev ask for: values from 0 to 1, `tf.image.resize`."""
    import tensorflow as tf

    values = tf.image.convert_image_dtype(pixels, tf.float32)
    return tf.image.resize(values, (SMALL[224], SMALL[224])).numpy()


def onnx_resnet(pixels: Pixels) -> Pixels:
    """The preprocessing graph of the zoo's ResNet: antialiased, cropped, normalised, in CHW."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: list[float], dtype: type) -> object:
        return numpy_helper.from_array(np.array(values, dtype), name)

    nodes = [
        helper.make_node(
            "Resize",
            ["pixels", "", "", "shorter"],
            ["resized"],
            mode="linear",
            antialias=1,
            axes=[0, 1],
            keep_aspect_ratio_policy="not_smaller",
        ),
        helper.make_node("CenterCropPad", ["resized", "target"], ["cropped"], axes=[0, 1]),
        helper.make_node("Cast", ["cropped"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normal"]),
        helper.make_node("Transpose", ["normal"], ["data"], perm=[2, 0, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "preprocess",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, None)],
        [
            constant("shorter", [SMALL[256]] * 2, np.int64),
            constant("target", [SMALL[224]] * 2, np.int64),
            constant("mean", [255 * m for m in MEAN], np.float32),
            constant("std", [255 * s for s in STD], np.float32),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"pixels": pixels})[0]


def onnx_efficientnet_lite(pixels: Pixels) -> Pixels:
    """What the zoo says of EfficientNet-Lite4: OpenCV, 87.5 % of the picture, (v - 127) / 128."""
    import cv2

    height, width, _ = pixels.shape
    size, kept = SMALL[256], SMALL[224]
    if height > width:
        to_width, to_height = size, int(size * height / width)
    else:
        to_width, to_height = int(size * width / height), size
    resized = cv2.resize(pixels, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
    top, left = int((to_height - kept) / 2), int((to_width - kept) / 2)
    return (resized[top : top + kept, left : left + kept].astype(np.float32) - 127) / 128


def _tensorflow(method: str) -> Callable[[Pixels], Pixels]:
    def resize(pixels: Pixels) -> Pixels:
        import tensorflow as tf

        return tf.image.resize(pixels, (SMALL[224], SMALL[299]), method=method).numpy()

    return resize


FAMILIES: dict[str, Callable[[Pixels], Pixels]] = {
    "torchvision": torchvision,
    "torchvision, bicubic": torchvision_bicubic,
    "timm": timm,
    "timm, ViT": timm_vit,
    "Keras, `caffe`": keras_caffe,
    "Keras, `tf`": keras_tf,
    "Keras, `torch`": keras_torch,
    "Keras, `Resizing`": keras_resizing,
    "Keras, cropped": keras_resizing_crop,
    "TF Hub": tf_hub,
    "ONNX zoo, ResNet": onnx_resnet,
    "ONNX zoo, EfficientNet-Lite": onnx_efficientnet_lite,
}
METHODS = ("bilinear", "nearest", "bicubic", "area")


def main(photograph: Path, output: Path) -> None:
    """Writes the pictures, and what each family makes of them."""
    image = Image.open(photograph).convert("RGB")
    pictures = {name: np.asarray(image.crop(box)) for name, box in BOXES.items()}
    families = {**FAMILIES, **{f"tf.image.resize {m}": _tensorflow(m) for m in METHODS}}
    made = {
        f"{family}/{name}": compute(pixels)
        for family, compute in families.items()
        for name, pixels in pictures.items()
    }
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES.split()]
    np.savez_compressed(output, versions=np.array(versions), **pictures, **made)
    print(*versions, f"{output}: {output.stat().st_size:,} bytes", sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("arrays.npz"))
