# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tracker tracker
RUN --mount=type=cache,target=/root/.cache \
    pip install --root-user-action=ignore --quiet -c constraints.txt hatchling \
    && pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.12-slim
COPY --from=build /src/constraints.txt /wheels/ /wheels/
RUN --mount=type=cache,target=/root/.cache \
    pip install --root-user-action=ignore --quiet -c /wheels/constraints.txt "$(echo /wheels/tracker-*.whl)[kafka,postgres,web,zstd]" \
    && useradd --system --uid 10001 --create-home tracker \
    && install -d -o tracker -g tracker /data
USER tracker
WORKDIR /data
# The store lives here: a volume, so that it outlives the container.
VOLUME /data
ENV TRACKER_STORE=sqlite:////data/status.db PYTHONUNBUFFERED=1
ENTRYPOINT ["tracker"]
CMD ["run"]
