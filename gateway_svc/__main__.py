"""One process role of the channel gateway: `python -m gateway_svc serve|work|ingress|migrate`."""

from gateway_svc.bootstrap import build
from gateway_svc.settings import GatewaySettings
from paymesh.process import main

if __name__ == "__main__":
    main("gateway", GatewaySettings, build, roles=("serve", "work", "ingress", "migrate"))
