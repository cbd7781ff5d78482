# One image for all roles: `docker run paymesh:0.1.0 trade_svc serve`.

FROM python:3.11-slim-bookworm AS build
RUN python -m venv --without-pip /venv
COPY requirements.image.lock /tmp/
RUN pip --python /venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes \
    -r /tmp/requirements.image.lock
COPY rabbitmq/definitions.json /app/rabbitmq/
COPY gen /app/gen
COPY paymesh /app/paymesh
COPY trade_svc /app/trade_svc
COPY pay_svc /app/pay_svc
COPY gateway_svc /app/gateway_svc
COPY clearing_svc /app/clearing_svc
COPY paymesh_ops /app/paymesh_ops
# Compiled here, for at run time the file system is read-only; readable by all, whatever the checkout.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app && chmod -R a+rX /app

FROM python:3.11-slim-bookworm AS paymesh
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app:/app/gen \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["python", "-m"]
