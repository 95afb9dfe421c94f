# One image for all of Dagster on AWS: web server, daemon, code server, workers. What each of them runs is said by infra/dagster-ecs.yaml.
#     docker build --tag lakegate .
# For a build that can be repeated name the base by its digest (docs/deploying-dagster.md): --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS builder
WORKDIR /src
COPY infra/image/build.sh infra/image/build.sh
COPY requirements/image.lock requirements/production.lock requirements/
RUN sh infra/image/build.sh tools
RUN sh infra/image/build.sh packages
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY assets assets
COPY sensors sensors
COPY resources resources
COPY lakegate lakegate
RUN sh infra/image/build.sh product
COPY infra/dagster.yaml infra/workspace.yaml infra/
COPY infra/certificates infra/certificates
RUN sh infra/image/build.sh settings
RUN sh infra/image/build.sh check

FROM ${BASE}
# Compiled byte code lies beside the packages; nothing else is ever written there.
ENV PATH=/opt/lakegate/bin:$PATH \
    DAGSTER_HOME=/app/dagster \
    DAGSTER_DISABLE_TELEMETRY=1 \
    GX_ANALYTICS_ENABLED=false \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
COPY --from=builder /opt/lakegate /opt/lakegate
COPY --from=builder /app /app
WORKDIR /app
# The one place that is written: staged Parquet, sockets, notes of runs. With the root file system read-only it is a volume.
VOLUME ["/tmp"]
# No user of this number is made: nothing belongs to it, and nothing has to.
USER 10001:10001
# The safest of the four, and alone on its machine; ECS names a command for each service.
CMD ["lakegate", "web", "--workspace", "/app/workspace.yaml"]
