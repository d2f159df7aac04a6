"""The words of the server's errors, for people, by code and language."""

from collections.abc import Sequence

from tickets.errors import InvalidInput

LANGUAGES = ("it", "en")

WORDS: dict[str, dict[str, str]] = {
    "it": {
        "bad_request": "Richiesta non valida.",
        "not_logged_in": "Accesso scaduto: entra di nuovo.",
        "wrong_password": "Nome utente o password non corretti.",
        "not_allowed": "Non hai i permessi per questa operazione.",
        "foreign_origin": "Richiesta rifiutata: arriva dalla pagina di un altro sito.",
        "not_your_call": "Questa chiamata non è tua.",
        "no_listening": "Qui l'ascolto delle chiamate non è consentito.",
        "no_agent": "Questo accesso non è legato a un operatore: non può gestire chiamate.",
        "not_there": "Non trovato: forse è stato rimosso nel frattempo.",
        "conflict": "Qualcuno l'ha modificata nel frattempo: ricarica e riprova.",
        "duplicate": "Nella rubrica c'è già una voce con questo nome o codice.",
        "in_use": "La voce è usata altrove: modificala, oppure uniscila a un'altra.",
        "credentials_refused": "Le credenziali non possono fare questo passo: prima il corso, poi il referente.",
        "request_closed": "La richiesta è chiusa: aggiungi una nota o aprine un'altra.",
        "request_taken": "La richiesta è già in carico a un collega.",
        "move_refused": "La richiesta non può passare a questo stato da quello in cui è.",
        "notice_not_stopped": "L'avviso è già partito o sta per partire.",
        "unknown_connector": "Questo sistema non è più collegato: avvisa chi gestisce il sistema.",
        "no_browser_phone": "Il tuo telefono non è quello nel browser.",
        "no_phone_address": "Il telefono nel browser non è configurato: avvisa chi gestisce il sistema.",
        "already_bound": "La chiamata ha già una richiesta di servizio.",
        "already_registered": "È già registrata come l'avevi inviata: cercala e correggila lì, poi svuota il modulo.",
        "not_json": "Richiesta rifiutata: il contenuto deve essere JSON.",
        "too_many_attempts": "Troppi tentativi di accesso: riprova tra qualche minuto.",
        "weak_password": "La password deve avere almeno 10 caratteri.",
        "username_taken": "Questo nome utente esiste già.",
        "token_name_taken": "C'è già un token con questo nome.",
        "invalid_input": "Controlla i campi indicati.",
        "field_missing": "Da compilare.",
        "field_too_long": "Troppo lungo.",
        "field_invalid": "Valore non valido.",
        "presence_refused": "C'è una chiamata sul tuo telefono: rispondi o riaggancia prima.",
        "wrap_up_refused": "Il tempo dopo la chiamata è finito, o è già stato prolungato quanto si può.",
        "command_refused": "Non è possibile con la chiamata in questo stato.",
        "agent_busy": "L'operatore è in una chiamata, o solo lui può tornare libero.",
        "last_supervisor": "Deve restare almeno un supervisore.",
        "not_yourself": "Non puoi togliere a te stesso l'accesso o il ruolo: chiedi a un collega.",
        "not_readable": "Il file non si legge come tabella: controlla la prima riga e salvalo come CSV in UTF-8.",
        "still_used": "Non si può togliere, si usa ancora:",
        "refused": "Operazione non possibile nello stato attuale.",
        "audio_missing": "L'audio di questo messaggio non è disponibile.",
        "nothing_to_correct": "L'audio di questo messaggio non c'è più: la trascrizione non si può correggere.",
        "no_such_move": "Da questo stato la richiesta non può passare a quello.",
        "not_by_this_role": "Questo passaggio non spetta a te: chiedi a un supervisore.",
        "too_late": "È stata risolta troppo tempo fa per riaprirla: aprine una nuova.",
        "not_from_this_level": "Non è possibile dal livello in cui è la richiesta.",
        "file_missing": "Il file di questo allegato non è disponibile.",
        "mail_missing": "Il testo di questa mail non è disponibile.",
        "not_shown": "Questo file si può solo salvare.",
        "too_large": "Quello che è stato inviato è troppo grande.",
        "no_room": "Il file non si può salvare: il disco è pieno. Avvisa chi gestisce il sistema.",
        "internal": "Errore interno: riprova; se continua, avvisa chi gestisce il sistema.",
    },
    "en": {
        "bad_request": "The request is not valid.",
        "not_logged_in": "Your log-in has expired: log in again.",
        "wrong_password": "User name or password is not right.",
        "not_allowed": "You may not do that.",
        "foreign_origin": "Refused: the request comes from another site's page.",
        "not_your_call": "This call is not yours.",
        "no_listening": "Listening to calls is not allowed here.",
        "no_agent": "This account is not bound to an agent: it cannot handle calls.",
        "not_there": "Not found: it may have been removed in the meantime.",
        "conflict": "Someone has changed it in the meantime: reload and try again.",
        "duplicate": "The directory already holds an entry with this name or code.",
        "in_use": "The entry is used elsewhere: change it, or merge it with another one.",
        "credentials_refused": "Credentials cannot go this step now: first the course, then the referent.",
        "request_closed": "The request is closed: add a note or open another one.",
        "request_taken": "A colleague has the request in charge already.",
        "move_refused": "The request cannot go to this state from the one it is in.",
        "notice_not_stopped": "The notice is sent or on its way.",
        "unknown_connector": "That system is not connected any more: tell those who run this one.",
        "no_browser_phone": "Your phone is not the one in the browser.",
        "no_phone_address": "The phone in the browser is not set up: tell those who run the system.",
        "already_bound": "The call has its service request already.",
        "already_registered": "It is registered as you sent it: find it and change it there, then empty the form.",
        "not_json": "Refused: the content must be JSON.",
        "too_many_attempts": "Too many failed log-ins: try again in some minutes.",
        "weak_password": "The password must have at least 10 characters.",
        "username_taken": "There is an account of that name already.",
        "token_name_taken": "There is a token of that name already.",
        "invalid_input": "Check the fields shown.",
        "field_missing": "To be filled in.",
        "field_too_long": "Too long.",
        "field_invalid": "Not a valid value.",
        "presence_refused": "A call is on your phone: answer it or hang up first.",
        "wrap_up_refused": "The time after the call is over, or was made longer as often as is possible.",
        "command_refused": "Not possible with the call as it is now.",
        "agent_busy": "The agent is in a call, or only the agent can be free again.",
        "last_supervisor": "One supervisor at least must be left.",
        "not_yourself": "You cannot take your own log-in or role away: ask a colleague.",
        "not_readable": "The file cannot be read as a table: look at its first line, and save it as CSV in UTF-8.",
        "still_used": "It cannot be removed, since it is used:",
        "refused": "Not possible as things stand now.",
        "audio_missing": "The audio of this message is not available.",
        "nothing_to_correct": "The audio of this message is gone: its transcript cannot be corrected.",
        "no_such_move": "The request cannot go there from the status it is in.",
        "not_by_this_role": "That is not for you to do: ask a supervisor.",
        "too_late": "It was solved too long ago to be reopened: open a new one.",
        "not_from_this_level": "Not possible from the level the request is at.",
        "file_missing": "The file of this attachment is not available.",
        "mail_missing": "The text of this mail is not available.",
        "not_shown": "This file can only be saved.",
        "too_large": "What was sent is too large.",
        "no_room": "The file cannot be kept: the disk is full. Tell those who run the system.",
        "internal": "Internal error: try again; if it goes on, tell those who run the system.",
    },
}


_WHY_IT = {
    "missing": "Da compilare.",
    "too_large": "Il file è troppo grande.",
    "refused_kind": "Questo tipo di file non si accetta: mettilo in un archivio.",
    "parent_is_below": "È a sua volta collegata sotto un'altra richiesta: indica quella.",
    "has_children": "Questa richiesta ne ha altre sotto di sé: non può stare sotto un'altra.",
    "same_request": "È la stessa richiesta: indicane un'altra.",
    "no_such_ticket": "Nessuna richiesta ha questo numero: controlla le cifre.",
    "no_such_code": "Questo sito non ha una voce così: ricarica la pagina.",
    "group_unused": "Questo gruppo non si usa più.",
    "not_for_level_0": "Quest'area non torna al livello 0: correggi prima l'area.",
    "company_unknown": "L'azienda non è nota: indica di chi è l'utente.",
    "taken": "È già usato da qualcun altro.",
    "no_username": "Lettere minuscole e cifre, con . _ - in mezzo.",
    "no_phone": "Scrivi tecnologia e nome, per esempio PJSIP/101.",
    "weak_password": "Almeno 10 caratteri.",
    "too_long": "Al massimo {longest} caratteri: sono {length}.",
    "not_one_of": "Uno di questi: {choices}.",
    "no_email": "Non è un indirizzo e-mail, per esempio anna.rossi@example.org.",
    "no_number": "Non è un numero di telefono: per esempio 080 5551234 o +39 080 5551234.",
    "no_day": "Non è una data, per esempio 2026-11-30 o 30/11/2026.",
    "key_needed": "Da compilare: da questo si riconosce la riga.",
    "key_twice": "{entry} è già nella riga {line}.",
    "cells": "Ha {cells} celle, la prima riga ne ha {columns}.",
    "company_has_code": "{name} è già in rubrica, con il codice {entry}.",
    "company_without_code": "{name} è già in rubrica, senza codice.",
    "new_needs_name": "{entry} è una voce nuova: serve il nome.",
    "no_company": "L'azienda {name} non è in rubrica: aggiungila prima.",
    "another_company": "{entry} è {name}, non {other}.",
    "no_name": "Lettere e cifre, con spazi e - _ . ' in mezzo, al massimo 40.",
    "of_the_file": "È descritta nel file delle impostazioni: si toglie lì.",
    "gone": "Non c'è più: un collega l'ha tolta.",
    "too_many": "Al massimo {most} alla volta.",
    "no_level_0_desk": "L'azienda non ha un indirizzo e-mail dell'help desk di livello 0.",
}
"""Why a field is refused, by `InvalidInput.code`; in English the lower packages say it themselves."""


_USES = {
    "it": {
        "line": "linea {name}",
        "key": "tasto {name}",
        "agent": "operatore {name}",
        "closure": "chiusura {name}",
        "calls": "chiamate in corso: {name}",
        "call_backs": "richiami in attesa: {name}",
    },
    "en": {
        "line": "line {name}",
        "key": "key {name}",
        "agent": "agent {name}",
        "closure": "closure {name}",
        "calls": "calls under way: {name}",
        "call_backs": "call backs that wait: {name}",
    },
}
"""What may use a queue, calendar or line (`ivr.errors.StillUsed`)."""
_USES_SHOWN = 12


def say_why(error: InvalidInput, language: str) -> str:
    """What is wrong with a field, for the person who filled it in."""
    if language == "it":
        why = _WHY_IT.get(error.code, WORDS["it"]["field_invalid"]).format(**error.given)
        return f"«{error.given['part']}»: {why}" if "part" in error.given else why
    return f"{error.words[:1].upper()}{error.words[1:]}."


def say_fault(error: InvalidInput, language: str) -> str:
    """What is wrong with a line of a table, with the column."""
    why = say_why(error, language)
    return f"{error.field}: {why}" if error.field else why


def say_uses(uses: Sequence[tuple[str, str]], language: str) -> str:
    """What uses something, one after the other; what somebody has named cannot turn the words beside it round."""
    said = [_USES[language][kind].format(name=f"\u2068{name}\u2069") for kind, name in uses[:_USES_SHOWN]]
    more = ["…"] if len(uses) > _USES_SHOWN else []
    return "; ".join([*said, *more]) + "."


def language_of(*wishes: str | None) -> str:
    """The first wish (a language code or an Accept-Language header) that can be met; else Italian."""
    for wish in wishes:
        for part in (wish or "").split(","):
            code = part.split(";")[0].strip()[:2].lower()
            if code in LANGUAGES:
                return code
    return LANGUAGES[0]


def say(code: str, language: str) -> str:
    """The words for an error code."""
    words = WORDS[language]
    return words.get(code, words["bad_request"])
