# One image for every role: `serve` (the default), `worker`, `migrate`. See docs/operations.md.
# The base has the release of Python that the tests run with; constraints.txt has the rest.
FROM python:3.11.14-slim-bookworm AS python

FROM python AS build
WORKDIR /src
COPY . .
# What builds the wheel is pinned too: no isolated environment that takes the newest.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt setuptools \
    && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/chatd \
    && pip --python /opt/chatd/bin/python install --constraint constraints.txt /wheels/*.whl \
    && pip --python /opt/chatd/bin/python check

FROM python AS runtime
LABEL org.opencontainers.image.title="chatd" \
      org.opencontainers.image.description="A chat server that never loses a message it acknowledged" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="ISC"
# The data folder is for the embedded default; with real backends nothing is written anywhere.
RUN groupadd --gid 10001 chatd \
    && useradd --uid 10001 --gid chatd --no-create-home --home-dir /nonexistent --no-log-init \
       --shell /usr/sbin/nologin chatd \
    && install --directory --owner chatd --group chatd --mode 0700 /var/lib/chatd
COPY --from=build /opt/chatd /opt/chatd
COPY deploy/health.py /opt/chatd/health.py
ENV PATH=/opt/chatd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CHATD_HOST=0.0.0.0 \
    CHATD_DATA_DIR=/var/lib/chatd
# By number: an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/chatd
EXPOSE 3000 4000 4001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/chatd/bin/python", "-I", "/opt/chatd/health.py"]
ENTRYPOINT ["chatd"]
CMD ["serve"]
