# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's one exception: a type, a message, a remedy, an HTTP status."""

from __future__ import annotations

from typing import Any

# type -> (HTTP status, the remedy when the raiser has no better one)
ERRORS: dict[str, tuple[int, str]] = {
    "bad_request": (422, "Send what the OpenAPI description at /v1/openapi.json asks for."),
    "bad_body": (400, "Send one JSON object in UTF-8."),
    "bad_token": (401, "Check in again: start a new session for the machine."),
    "wrong_verb": (403, "Start a session with the verb that needs this request."),
    "wrong_image": (403, "Start a session for that image: a token is good for one image."),
    "registration_refused": (403, "Ask the administrator, who can approve it all the same."),
    "no_such_registration": (404, "List them with register.yml."),
    "no_such_download": (404, "Order it once more: they are kept for a day."),
    "no_such_route": (404, "See the OpenAPI description at /v1/openapi.json."),
    "no_such_session": (404, "Start a session for the machine, then boot it again."),
    "unknown_image": (404, "List the images with images.yml."),
    "unknown_version": (404, "List the versions with images.yml."),
    "unknown_chunk": (404, "Run verify on the image: its store has lost a chunk."),
    "unknown_alias": (404, "List the aliases with images.yml."),
    "not_in_trash": (404, "List what is there with trash.yml."),
    "no_boot_script": (404, "The machine boots its menu instead."),
    "wrong_method": (405, "See the OpenAPI description at /v1/openapi.json."),
    "too_slow": (408, "Look at the network between the machine and the server, then retry."),
    "already_checked_in": (
        409,
        "If that was not you: end the session and look for a second "
        "machine with this MAC. Otherwise start a new session.",
    ),
    "image_named": (409, "Change what names it first, then try again."),
    "image_fixed": (409, "Change that variable of the inventory, then run policy.yml."),
    "name_taken": (409, "Take another name."),
    "is_alias": (409, "Name an image: images.yml lists images and aliases."),
    "plan_changed": (409, "Look at the new plan with prune.yml --check --diff, and confirm that."),
    "prune_waits": (
        409,
        "If the plan is meant, run prune.yml with -e confirm= and its digest. Otherwise correct "
        "policy_keep or policy_images and run policy.yml.",
    ),
    "collection_stopped": (
        409,
        "See to what the message names, then run collect.yml. Backups and restores go on.",
    ),
    "unknown_schedule": (404, "List the schedules with schedules.yml."),
    "window_open": (409, "Wait until it has ended: schedules.yml shows how it goes."),
    "no_window": (409, "Look at its days and exceptions in policy_schedules, and run policy.yml."),
    "unknown_sink": (404, "Run policy.yml again."),
    "already_runs": (409, "Wait until it has ended: upkeep is shown by collect.yml -e show=last."),
    "policy_broken": (409, "Correct the inventory and run policy.yml. Everything is kept so long."),
    "mac_taken": (
        409,
        "Look for a second PC with this MAC address; the administrator sees both.",
    ),
    "already_decided": (409, "List the registrations with register.yml."),
    "session_exists": (409, "End it first: session_end.yml."),
    "missing_chunks": (409, "Send the chunks, then publish again."),
    "publish_failed": (
        500,
        "Send it again; if that repeats, read the journal of slipway.service and see whether the "
        "server has memory left.",
    ),
    "publish_refused": (409, "Start a new session for the machine, and look at its agent."),
    "already_published": (409, "Start a new session for another version."),
    "session_ended": (410, "Start a new session for the machine."),
    "too_long": (413, "Send less: the limit is in the message."),
    "wrong_content": (400, "Read the range again and send one zstd frame that declares its size."),
    "not_ready": (409, "Wait until it is: its page shows how it goes."),
    "not_readable": (409, "Take another version or partition, or the whole disk."),
    "no_reader": (409, "Run site.yml, which sets it up."),
    "too_many_downloads": (429, "Remove one, or wait: each is kept for a day."),
    "reader_down": (503, "Look at slipway-reader.socket on the image server and its journal."),
    "bad_policy": (422, "Correct these variables of the inventory. Nothing was changed."),
    "bad_manifest": (422, "Write the manifest as FORMAT.md says."),
    "password_required": (401, "Type it."),
    "wrong_password": (403, "Type it again; after several the pause grows."),
    "no_such_item": (403, "Choose another item, or have the menus rendered anew: menus.yml."),
    "another_machine": (
        403,
        "If the machine got a new mainboard, run identity_forget.yml for it: its next session "
        "tells the server anew. Otherwise look for a PC with a copied MAC address.",
    ),
    "wrong_address": (
        403,
        "If this is the machine: add the card to its machine_macs. Behind a router, give it a "
        "lease of this server's DHCP or a machine_ip, or see image_server_unproven_addresses. "
        "Then run site.yml.",
    ),
    "no_ticket": (
        403,
        "If this is the machine, restart it: it fetches its boot script anew. If this repeats, "
        "look for another host that fetches it: session_info shows who asked.",
    ),
    "not_offered": (403, "Choose one that the item offers."),
    "wrong_job": (403, "The job runner opens sessions for jobs that it holds, and no others."),
    "wrong_role": (403, "Ask somebody with that role, or for another one: web_page_users."),
    "wrong_group": (403, "Ask somebody without groups, or for other groups: web_page_users."),
    "restores_bounded": (
        403,
        "Restore with restore.yml or order.yml, or change web_page_restores or "
        "web_page_restores_per_hour and run site.yml.",
    ),
    "unknown_machine": (
        404,
        "Add the machine to the inventory with its MAC address, then run menus.yml.",
    ),
    "no_such_job": (404, "List the jobs: jobs.yml."),
    "not_postponable": (409, "Wait until it has ended."),
    "machine_unclear": (409, "Correct machine_macs in the inventory, then run menus.yml."),
    "machine_busy": (
        409,
        "Wait until it has ended, or end it: jobs.yml, session_end.yml. If the PC was switched off "
        "meanwhile, it ends by itself within two minutes.",
    ),
    "image_required": (409, "Pick one of the images and ask again with it."),
    "too_many_tries": (429, "Wait, then type it again."),
    "too_many": (429, "Ask again in a few seconds."),
    "queue_full": (429, "Approve or refuse PCs that wait, with register.yml; then ask again."),
    "internal": (500, "Read the journal of slipway.service on the image server."),
    "store_failed": (500, "Look at the image server's kernel log and at the store's disk."),
    "disk_full": (
        507,
        "Make room below /var/lib/slipway on the image server (df shows which disk is full), then "
        "try again.",
    ),
    "store_full": (
        507,
        "Delete images or enlarge the store, then run the backup again: it sends "
        "only what is missing.",
    ),
    "session_quota": (
        507,
        "If the machine got a disk after it booted, start a new session. If its disks are larger "
        "than image_server_session_quota_bytes, raise that and run site.yml. Otherwise look at "
        "the machine: it sends more than it has.",
    ),
}


class ServiceError(Exception):
    """A refusal that a client can read. ``details`` are extra keys of the JSON body."""

    def __init__(self, error: str, message: str, remedy: str = "", **details: Any) -> None:
        """Take the status and the default remedy from ERRORS."""
        super().__init__(message)
        self.error = error
        self.message = message
        self.status, default_remedy = ERRORS[error]
        self.remedy = remedy or default_remedy
        self.details = details

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        return {
            "error": self.error,
            "message": self.message,
            "remedy": self.remedy,
            **self.details,
        }
