"""One process role of the payment core: `python -m pay_svc serve|work|migrate`."""

from pay_svc.bootstrap import build
from pay_svc.settings import PaySettings
from paymesh.process import main

if __name__ == "__main__":
    main("pay", PaySettings, build)
