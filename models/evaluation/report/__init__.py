"""Results for people and programs: tables, charts, the HTML report."""
