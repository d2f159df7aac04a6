"""The words of the server's errors, for people, by code and language."""

LANGUAGES = ("it", "en")

WORDS: dict[str, dict[str, str]] = {
    "it": {
        "bad_request": "Richiesta non valida.",
        "not_logged_in": "Accesso scaduto: entra di nuovo.",
        "wrong_password": "Nome utente o password non corretti.",
        "not_allowed": "Non hai i permessi per questa operazione.",
        "foreign_origin": "Richiesta rifiutata: arriva dalla pagina di un altro sito.",
        "not_your_call": "Questa chiamata non è tua.",
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
        "already_bound": "La chiamata ha già una richiesta di servizio.",
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
        "command_refused": "Non è possibile con la chiamata in questo stato.",
        "refused": "Operazione non possibile nello stato attuale.",
        "audio_missing": "L'audio di questo messaggio non è disponibile.",
        "internal": "Errore interno: riprova; se continua, avvisa chi gestisce il sistema.",
    },
    "en": {
        "bad_request": "The request is not valid.",
        "not_logged_in": "Your log-in has expired: log in again.",
        "wrong_password": "User name or password is not right.",
        "not_allowed": "You may not do that.",
        "foreign_origin": "Refused: the request comes from another site's page.",
        "not_your_call": "This call is not yours.",
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
        "already_bound": "The call has its service request already.",
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
        "command_refused": "Not possible with the call as it is now.",
        "refused": "Not possible as things stand now.",
        "audio_missing": "The audio of this message is not available.",
        "internal": "Internal error: try again; if it goes on, tell those who run the system.",
    },
}


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
