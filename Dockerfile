# The image of the template: the launcher that starts a job and the workers that run it.
#
#   docker build --target cpu -t ensemble .
#   docker build --target gpu -t ensemble-gpu .
#   docker build --target cpu --build-arg EXTRAS="xgboost lightgbm catboost transformers" -t ensemble .
#   docker build --target cpu --build-arg FRAMEWORKS="sklearn onnx" -t ensemble .
#
# Nothing here needs BuildKit. The order of the stages is for builders without it, which build every
# stage above the target: the large GPU one comes last, and --target=cpu keeps them from it.
ARG PYTHON_VERSION=3.11
ARG DEBIAN_RELEASE=bookworm
# The Beam of the requirements; the build fails where they differ.
ARG BEAM_VERSION=2.77.0
# Tags: https://cloud.google.com/dataflow/docs/reference/flex-templates-base-images, `make newer`
ARG LAUNCHER_TAG=flex_templates_base_image_release_20260112_RC00
# Of the CPU image: what an ensemble does not need can be left out. TensorFlow is 1.65 GB of 4.1, PyTorch 0.75.
ARG FRAMEWORKS="tensorflow torch onnx sklearn"
# How the launcher's images spell PYTHON_VERSION.
ARG LAUNCHER_PYTHON=python311

FROM apache/beam_python${PYTHON_VERSION}_sdk:${BEAM_VERSION} AS beam
FROM gcr.io/dataflow-templates-base/${LAUNCHER_PYTHON}-template-launcher-base:${LAUNCHER_TAG} AS launcher

# --- What both images share and code does not change. No Debian packages: the wheels bring what they
# need, libgomp too. It stays root: the launcher writes its log below a folder of root's.
FROM python:${PYTHON_VERSION}-slim-${DEBIAN_RELEASE} AS base
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/
# FLEX_TEMPLATE_PYTHON_PY_FILE: what the launcher runs. No requirements or setup file beside it: they
#   would be installed again at each launch.
# RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT: boot would make a virtual environment at each start, for packages
#   that a job brings along. Ours brings none.
# OMP_WAIT_POLICY, OPENBLAS_THREAD_TIMEOUT: as in pipeline/__init__.py, for processes that load a
#   library before the package.
# ORT_DISABLE_TELEMETRY: ONNX Runtime 1.29 and later report to their maker as soon as they are imported.
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=PASSIVE \
    OPENBLAS_THREAD_TIMEOUT=4 \
    ORT_DISABLE_TELEMETRY=1
# ONNX Runtime loads no graph with a StringNormalizer (text models of sklearn-onnx) where the locale en_US.UTF-8
# is missing. It asks it for small and capital letters only, which are the same in C.UTF-8.
RUN ln -s C.utf8 /usr/lib/locale/en_US.utf8
WORKDIR /template

# --- This project as a tree of files, so that each image takes it in one layer. Compiled here, for a
# start that compiles nothing.
FROM base AS project
WORKDIR /source
COPY pyproject.toml README.md requirements-common.in ./
COPY pipeline pipeline
RUN pip install --no-cache-dir --no-deps --no-compile --root=/image . \
    && python -m compileall -q /image
COPY main.py .ci/image/check_image.py .ci/image/entrypoint .ci/image/install_extras /image/template/

# --- CPU. The requirements change less often than the code and come before it.
FROM base AS cpu-requirements
COPY requirements.txt requirements-torch.txt requirements-common.in .ci/image/leave_out.py ./
# PyTorch's CPU build is a tenth of the size of PyPI's. Where its index cannot be reached, pip says so
# after some seconds and takes PyPI's; --no-deps keeps that wait to this one package. What PyPI's needs
# besides comes last, without hashes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG FRAMEWORKS
RUN case " ${FRAMEWORKS} " in *" torch "*) \
        pip install --no-cache-dir --no-deps --require-hashes --extra-index-url ${TORCH_INDEX} \
            -r requirements-torch.txt ;; \
    esac
# What is left out goes in the layer that brought it. TensorFlow's C++ headers are a tenth of the image.
RUN pip install --no-cache-dir --no-warn-conflicts --require-hashes -r requirements.txt \
    && case " ${FRAMEWORKS} " in *" torch "*) pip install --no-cache-dir torch ;; esac \
    && left_out="$(python leave_out.py "${FRAMEWORKS}")" \
    && { [ -z "$left_out" ] || pip uninstall --yes $left_out; } \
    && rm -rf "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tensorflow/include"

FROM cpu-requirements AS cpu
COPY --from=project /image /
ARG EXTRAS=""
RUN /template/install_extras "${EXTRAS}"
ARG BEAM_VERSION
ARG FRAMEWORKS
RUN pip check \
    && KERAS_HOME=/tmp/keras python check_image.py --beam_version ${BEAM_VERSION} --device cpu \
        --frameworks "${FRAMEWORKS}" \
    && rm -rf /tmp/keras
# TF_CPP_MIN_LOG_LEVEL: else TensorFlow tells each process as an error that there is no GPU ("failed call
#   to cuInit"). What goes wrong in a model comes as an exception.
ENV ENSEMBLE_IMAGE_TARGET=cpu \
    ENSEMBLE_FRAMEWORKS="${FRAMEWORKS}" \
    TF_CPP_MIN_LOG_LEVEL=3
ENTRYPOINT ["/template/entrypoint"]
# Last: they change with every build. IMAGE is the name that this image will be pushed under; a launch
# makes it the workers' image.
ARG IMAGE=""
ARG SOURCE=""
ARG REVISION=""
ARG VERSION=""
ARG CREATED=""
ENV ENSEMBLE_IMAGE=${IMAGE}
LABEL org.opencontainers.image.title="Ensemble inference on Dataflow, CPU" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}"

# --- GPU. CUDA comes in wheels, one family for all frameworks (requirements-gpu.in); the driver is the
# machine's. In layers of a few GB each, which a worker pulls and unpacks side by side.
FROM base AS gpu-requirements
COPY requirements-gpu.txt ./
RUN awk '/^nvidia-/, !/\\$/' requirements-gpu.txt >/tmp/layer \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/layer
RUN awk '/^(torch|triton)==/, !/\\$/' requirements-gpu.txt >/tmp/layer \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/layer
RUN pip install --no-cache-dir --require-hashes -r requirements-gpu.txt \
    && rm -r "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tensorflow/include"

FROM gpu-requirements AS gpu
COPY --from=project /image /
ARG EXTRAS=""
RUN /template/install_extras "${EXTRAS}"
ARG BEAM_VERSION
# No GPU in a build: that one is found is seen at the start of a worker (CHECK_DEVICES_AT_START).
RUN pip check \
    && KERAS_HOME=/tmp/keras python check_image.py --beam_version ${BEAM_VERSION} --cuda_family 12 \
    && rm -r /tmp/keras
# As NVIDIA's own images have them. Dataflow mounts the driver at /usr/local/nvidia; `docker run --gpus`
# puts it among the system's libraries, and hands out what NVIDIA_* name.
ENV PATH=/usr/local/nvidia/bin:${PATH} \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CHECK_DEVICES_AT_START=1 \
    ENSEMBLE_IMAGE_TARGET=gpu
ENTRYPOINT ["/template/entrypoint"]
ARG IMAGE=""
ARG SOURCE=""
ARG REVISION=""
ARG VERSION=""
ARG CREATED=""
ENV ENSEMBLE_IMAGE=${IMAGE}
LABEL org.opencontainers.image.title="Ensemble inference on Dataflow, GPU" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}"

# --- Without --target: the CPU image.
FROM cpu
