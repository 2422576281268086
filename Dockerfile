# dorl in a container: `docker build -t dorl .`, or with CUDA `docker build --build-arg TORCH=cu130 -t dorl:cuda .`
# docs/install.md says how it is run.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm AS build
# cpu, or what uv calls a CUDA release of PyTorch, such as cu130; its wheels bring CUDA's libraries with them
ARG TORCH=cpu
ENV UV_LINK_MODE=copy UV_NO_CACHE=1
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY pyproject.toml README.md LICENSE LICENSE-weights.md ./
COPY packaging/docker/cpu.txt packaging/docker/cpu.txt
COPY src src
RUN uv venv /opt/dorl \
    && if [ "$TORCH" = cpu ]; then \
        uv pip install --python /opt/dorl --torch-backend cpu --override packaging/docker/cpu.txt '/src[serve]' xgboost-cpu; \
    else \
        uv pip install --python /opt/dorl --torch-backend "$TORCH" '/src[serve]'; \
    fi \
    && find /opt/dorl -path '*/torch/include' -prune -exec rm -r {} +

FROM python:${PYTHON}-slim-bookworm
RUN groupadd --gid 1000 dorl && useradd --no-create-home --uid 1000 --gid 1000 dorl
COPY --from=build /opt/dorl /opt/dorl
# caches that libraries write go where a read-only container has its tmpfs
ENV PATH=/opt/dorl/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    HF_HOME=/tmp/huggingface \
    DORL_WEIGHTS=/weights
USER 1000:1000
WORKDIR /work
EXPOSE 8000
# of `dorl serve`; other commands are run with --no-healthcheck
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/v1/health', timeout=4)"]
ENTRYPOINT ["dorl"]
CMD ["--help"]
