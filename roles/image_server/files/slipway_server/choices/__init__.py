"""What a PC's user may start: menus, passwords and what comes of a choice."""
