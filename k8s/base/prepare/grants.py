"""Rights in a database that the operator made: `python grants.py trade`, as its owner.

The application role reads and writes what the owner will make, the reader reads it, nobody else
enters. Repeating it changes nothing.
"""

import os
import sys

import psycopg
from psycopg import sql

STATEMENTS = (
    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {app}, {reader}",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {app}, {reader}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public "
    "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader}",
)


def main(service: str) -> None:
    with psycopg.connect(os.environ[f"PAYMESH_{service.upper()}_OWNER_URL"]) as connection:
        names = {
            "database": sql.Identifier(connection.info.dbname),
            "app": sql.Identifier(f"paymesh_{service}_app"),
            "reader": sql.Identifier("paymesh_reader"),
        }
        for statement in STATEMENTS:
            connection.execute(sql.SQL(statement).format(**names))


if __name__ == "__main__":
    main(sys.argv[1])
