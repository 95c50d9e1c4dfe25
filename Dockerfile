# The harness on a CPU: cohorts, submissions, scores, timings with ONNX Runtime, boards and pages. No torch.
# Built nowhere yet: the file is linted, and the tests compare what it names with the project.
#
#   docker build -t chexchobench .
#   docker run --rm -v "$PWD:/board" --user "$(id -u):$(id -g)" chexchobench demo
FROM python:3.11.13-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY bench bench
COPY baselines baselines
COPY site site
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.13-slim-bookworm
ENV NUMBA_CACHE_DIR=/var/cache/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 bench \
    && install --directory --mode 1777 /var/cache/numba \
    && install --directory --owner bench --group bench /board
COPY requirements-core.lock /tmp/
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements-core.lock
COPY --from=wheel /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps --no-index /tmp/wheels/*.whl
USER 10001
WORKDIR /board
ENTRYPOINT ["bench"]
CMD ["--help"]
