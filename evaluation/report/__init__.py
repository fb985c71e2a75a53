"""The page for people: `collect.collect` gathers what a run left, `page.render` draws it as one HTML file."""
