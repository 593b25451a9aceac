"""How we speak to PostgreSQL: connections, statements, names, migrations, and the server we bring along."""
